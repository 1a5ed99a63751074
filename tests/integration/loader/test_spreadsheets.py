"""Export, open and save in a spreadsheet, load: nothing changes, or exactly what was edited."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64
from openpyxl import Workbook, load_workbook
from pymongo import MongoClient

from deploy.local.demo.products import catalogue as demo
from loader.entries.entry import Refused
from loader.errors import BadFile
from loader.loading import Load, Watch
from services.exporter.transcode.values import CODEC
from tests.integration.loader.loading_commands import Document, exported

TENANT = "spreadsheets"
SPECIAL: list[Document] = [
    {"released": datetime(2026, 3, 15, 9, 30, 0, 123000), "ratio": 0.1 + 0.2, "big": Int64(9007199254741003)},
    {"released": datetime(2025, 12, 31, 23, 59, 59, 999000), "ratio": 1 / 3, "big": Int64(-(2**63))},
    {"released": datetime(2026, 3, 15), "ratio": 12345678.12345678, "big": Int64(4006381333931)},
    {"released": None, "ratio": 1.2345671e-07, "exact": Decimal128("12345678901234567.890"), "big": Int64(7)},
    {"ratio": -2 / 3, "exact": Decimal128("1E+3"), "flags": {"sold": True, "new": False}, "empty": {}, "list": []},
    {"ratio": 1e22, "exact": Decimal128("0.10"), "flags": {"sold": False}, "empty": {"a": 1}, "list": ["one"]},
    {
        "ratio": 5e-324,
        "exact": Decimal128("NaN"),
        "flags": {},
        "list": [{"a": [1, None]}],
        "empty": "x",
        "text": "2026-03-15",
    },
    {"ratio": -0.0, "text": " two\nlines ", "list": [True], "released": datetime(1899, 12, 31, 1)},
]
SOFFICE = shutil.which("soffice")
with_libreoffice = pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed: `soffice` is missing")


@pytest.fixture
def client(mongo_uri: str) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](mongo_uri) as found:
        found.drop_database(f"catalogue_{TENANT}")
        goods = demo.made(40, 1).products
        for product, special in zip(goods, SPECIAL, strict=False):
            product |= special
        found[f"catalogue_{TENANT}"]["products"].insert_many(goods)
        yield found


Change = tuple[str, str]


def changes_of(client: MongoClient[Document], file: Path) -> set[Change]:
    """What a dry run of the file would change: ids and top-level names; checks that the load does the same."""
    changes: set[Change] = set()
    refused: list[Refused] = []

    def note(_: int, old: Document | None, new: Document) -> None:
        was = old or {}
        changes.update((new["_id"], name) for name in {*was, *new} if was.get(name) is not new.get(name))

    watch = Watch(lambda step, position: None, refused.append, note, lambda: False)
    work = Load(file, client[f"catalogue_{TENANT}"]["products"], watch, dry_run=True)
    before = products(client)
    work.run()
    assert products(client) == before
    assert (refused, work.outcome.created) == ([], 0)
    assert work.outcome.changed == len({id_ for id_, _ in changes})
    assert work.outcome.loaded == 40
    return changes


def products(client: MongoClient[Document]) -> bytes:
    found = client[f"catalogue_{TENANT}"].get_collection("products", codec_options=CODEC)
    return b"".join(found.find_raw_batches())  # type: ignore[arg-type]


EDITS: dict[tuple[int, str], tuple[str, Any]] = {
    (1, "released"): ("2026-03-15 09:30:01", datetime(2026, 3, 15, 9, 30, 1)),
    (1, "ratio"): ("0.31", 0.31),
    (2, "ratio"): ("0.33", 0.33),
    (3, "big"): ("4006381333932", 4006381333932),
    (5, "flags.sold"): ("FALSE", False),
    (6, "list"): ("two", "two"),
    (7, "text"): ("2026-03-16", "2026-03-16"),
    (9, "stock"): ("1000", 1000),
    (10, "family"): ("bags", "bags"),
    (11, "attributes.edited"): ("x", "x"),
}
"""By row and column: the edited cell in CSV and in Excel."""
EDITED = {(f"{row:06}", name.split(".")[0]) for row, name in EDITS}


def edit_csv(file: Path) -> None:
    """Make the ten edits; the file has the names in the first line."""
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline="")))
    for (row, name), (cell, _) in EDITS.items():
        if name not in rows[0]:
            for each in rows:
                each.append("" if each is not rows[0] else name)
        rows[row][rows[0].index(name)] = cell
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)


def edit_workbook(file: Path) -> None:
    book = load_workbook(file)
    sheet = book["products"]
    names = [str(cell.value) for cell in sheet[1]]
    for (row, name), (_, value) in EDITS.items():
        if name not in names:
            names.append(name)
            sheet.cell(1, len(names)).value = name
        sheet.cell(row + 1, names.index(name) + 1).value = value
    book.save(file)


def by_libreoffice(file: Path, extension: str) -> Path:
    """The file as LibreOffice saves it; dates, booleans and numbers in CSV are detected as in its import dialog."""
    assert SOFFICE is not None
    folder = file.parent / "saved"
    options = ["--infilter=CSV:44,34,76,1,,0,false,true"] if file.suffix == ".csv" else []
    profile = f"-env:UserInstallation=file://{file.parent}/profile"
    target = "csv:Text - txt - csv (StarCalc):44,34,76,1" if extension == "csv" else extension
    command = [SOFFICE, profile, "--headless", *options, "--convert-to", target, "--outdir", str(folder), str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / f"{file.stem}.{extension}"


def export_to(folder: Path, client: MongoClient[Document], name: str) -> Path:
    options = {"escape_formulas": True} if name == "csv" else {}
    file = folder / ("products.csv" if name == "csv" else "products.xlsx")
    file.write_bytes(exported(client, TENANT, name, **options))
    return file


@with_libreoffice
@pytest.mark.full
@pytest.mark.parametrize("name", ["csv", "excel"])
@pytest.mark.parametrize("extension", ["csv", "xlsx"])
def test_a_file_saved_by_libreoffice_changes_only_what_was_edited(
    client: MongoClient[Document], tmp_path: Path, name: str, extension: str
) -> None:
    saved = by_libreoffice(export_to(tmp_path, client, name), extension)
    assert changes_of(client, saved) == set()
    if extension == "csv":
        edit_csv(saved)
    else:
        edit_workbook(saved)
        saved = by_libreoffice(saved, extension)  # openpyxl removes the results of formulas, such as =TRUE()
    assert changes_of(client, saved) == EDITED


def test_a_workbook_saved_by_openpyxl_changes_only_what_was_edited(
    client: MongoClient[Document], tmp_path: Path
) -> None:
    file = export_to(tmp_path, client, "excel")
    assert changes_of(client, file) == set()
    load_workbook(file).save(file)
    assert changes_of(client, file) == set()
    edit_workbook(file)
    assert changes_of(client, file) == EDITED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("=1+1", "cell B2 of 'products' holds a formula without a saved value"),
        ("#N/A", "cell B2 of 'products' holds an"),
    ],
)
def test_a_cell_without_a_saved_value_does_not_remove_the_old_value(
    client: MongoClient[Document], tmp_path: Path, content: str, problem: str
) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "products"
    for row in [("sku", "family"), ("BOO-000001", content)]:
        sheet.append(row)
    file = tmp_path / "book.xlsx"
    book.save(file)
    with pytest.raises(BadFile, match=problem):
        changes_of(client, file)


def general(number: float) -> str:
    """A number in the format General, as SheetJS writes it into CSV: at most 11 characters."""
    if number == int(number) and abs(number) < 1e11:
        return str(int(number))
    exponent = Decimal(number).adjusted()
    if -4 <= exponent <= 9:
        digits = 10 + exponent if exponent < 0 else 10
        shown = f"{Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal_from_float(number):f}"
        return shown.rstrip("0").rstrip(".") if "." in shown else shown
    if exponent == 10:
        return f"{number:.10f}"[:12].rstrip(".")
    mantissa, _, power = f"{number:.5E}".partition("E")
    return f"{mantissa.rstrip('0').rstrip('.')}E{power}"


def as_sheetjs_saves(value: Any) -> str:
    """A cell of a workbook as text in CSV: booleans in capitals, times in their format, numbers as General."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case int() | float():
            return general(float(value))
        case datetime():
            return (value.replace(microsecond=0)).isoformat(" ")
        case _:
            return str(value)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.1 + 0.2, "0.3"),
        (1 / 3, "0.333333333"),
        (-2 / 3, "-0.666666667"),
        (12345678.12345678, "12345678.12"),
        (1.2345671e-07, "1.23457E-07"),
        (4006381333931, "4.00638E+12"),
        (12345678901.7, "12345678901"),
        (1e22, "1E+22"),
        (52.0, "52"),
        (True, "TRUE"),
        (datetime(2026, 3, 15, 9, 30, 0, 123000), "2026-03-15 09:30:00"),
    ],
)
def test_the_rules_of_sheetjs(value: Any, cell: str) -> None:
    assert as_sheetjs_saves(value) == cell


def test_a_workbook_saved_as_csv_by_the_rules_of_sheetjs_changes_only_what_was_edited(
    client: MongoClient[Document], tmp_path: Path
) -> None:
    [sheet] = load_workbook(export_to(tmp_path, client, "excel")).worksheets
    saved = tmp_path / "saved.csv"
    with saved.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(
            [[unescaped(as_sheetjs_saves(value)) for value in row] for row in sheet.iter_rows(values_only=True)]
        )
    assert changes_of(client, saved) == set()
    edit_csv(saved)
    assert changes_of(client, saved) == EDITED


def unescaped(cell: str) -> str:
    """Openpyxl does not decode the escapes of characters that XML forbids."""
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), cell)
