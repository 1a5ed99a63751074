"""What Excel requires to open a workbook without errors: parts, references, sheets, styles, filter, panes, limits."""

import io
import posixpath
import re
import zipfile
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import bson
import openpyxl
import pytest
from bson import Decimal128
from openpyxl.utils import range_boundaries

from services.exporter.catalogue.columns import Selection
from services.exporter.formats import excel, formats
from services.exporter.formats.contract import Sheet, TooManyColumns
from services.exporter.transcode import Tally
from tests.contract.formats.readers import calamine_tables, openpyxl_tables

pytestmark = pytest.mark.usefixtures("every_transcoder")

NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
COLUMNS = ["id", "name", "NAME", "at"]
AT = datetime(2026, 3, 15, 9, 0, 0, 120_000)
PRODUCTS = [{"_id": n, "name": "x" * 20 * n, "NAME": None, "at": AT} for n in range(7)]


WIDTHS = {"id": 8, "name": 40}


def workbook(rows: int = 7, options: dict[str, Any] | None = None, size: int = 3) -> tuple[bytes, Tally]:
    """A workbook in which every sheet has the products."""
    chosen = formats()["excel"].Options.model_validate(options or {})
    stored = [bson.encode(product) for product in PRODUCTS[:rows]]
    sheets = [
        Sheet(
            name,
            COLUMNS,
            Selection(),
            iter([b"".join(stored[at : at + size]) for at in range(0, rows, size)]),
            WIDTHS,
        )
        for name in formats()["excel"].sheets(chosen)
    ]
    tally = Tally()
    return b"".join(formats()["excel"].encode(sheets, chosen, tally)), tally


def parts(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def tags(xml: bytes) -> list[str]:
    return [child.tag.removeprefix(NS) for child in ElementTree.fromstring(xml)]


@pytest.fixture
def five_rows_a_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "MAX_ROWS", 5)


def test_every_part_is_declared_and_every_reference_leads_to_a_part() -> None:
    found = parts(workbook(options={"include_sheets": ["products", "suppliers"]})[0])
    declared = ElementTree.fromstring(found["[Content_Types].xml"])
    names = {child.get("PartName", "").lstrip("/") for child in declared if child.tag.endswith("Override")}
    assert names <= set(found)
    assert {name for name in found if name.startswith("xl/worksheets/")} <= names
    for name in [name for name in found if name.endswith(".rels")]:
        base = posixpath.dirname(posixpath.dirname(name))
        targets = [child.get("Target", "") for child in ElementTree.fromstring(found[name])]
        assert {posixpath.normpath(posixpath.join("/" + base, target)).lstrip("/") for target in targets} <= set(found)


def test_the_elements_of_a_worksheet_are_in_the_order_of_the_schema() -> None:
    formatted = parts(workbook()[0])["xl/worksheets/sheet1.xml"]
    assert tags(formatted) == ["sheetPr", "sheetViews", "cols", "sheetData", "autoFilter", "pageSetup"]
    plain = parts(workbook(options={"formatting": False})[0])["xl/worksheets/sheet1.xml"]
    assert tags(plain) == ["sheetData"]


def test_rows_are_numbered_without_gaps_and_cells_in_ascending_order() -> None:
    sheet = ElementTree.fromstring(parts(workbook()[0])["xl/worksheets/sheet1.xml"]).iter(f"{NS}row")
    for number, row in enumerate(sheet, 1):
        assert row.get("r") == str(number)
        references = [cell.get("r", "") for cell in row]
        assert references == [f"{letter}{number}" for letter in {1: "ABCD", 2: "AD"}.get(number, "ABD")]
    assert number == 8


def test_a_formatted_sheet_has_a_bold_frozen_header_a_filter_and_widths() -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook()[0]))
    sheet = book["products"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:D8"
    assert [(cell.value, cell.font.b, cell.font.name) for cell in sheet[1]] == [(n, True, "Calibri") for n in COLUMNS]
    assert not any(cell.font.b for cell in sheet[2])
    assert [sheet.column_dimensions[letter].width for letter in "AB"] == [8, 40]
    assert sheet["D2"].number_format == "yyyy-mm-dd hh:mm:ss.000"
    assert sheet.print_title_rows == "$1:$1"
    assert (sheet.page_setup.orientation, sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight) == (
        "landscape",
        1,
        0,
    )
    assert b'<pageSetUpPr fitToPage="1"/>' in parts(workbook()[0])["xl/worksheets/sheet1.xml"]
    assert sheet["D2"].value == AT


def test_widths_are_those_of_the_longest_cells_and_names() -> None:
    _, tally = workbook()
    assert tally.widths == {"products": {"id": 8, "name": 60, "NAME": 8, "at": 25}}
    _, tally = workbook(options={"formatting": False})
    assert tally.widths == {}


def test_the_filter_is_named_in_the_workbook_as_excel_does(five_rows_a_sheet: None) -> None:
    xml = ElementTree.fromstring(parts(workbook()[0])["xl/workbook.xml"])
    names = [
        (name.get("name"), name.get("localSheetId"), name.get("hidden"), name.text)
        for name in xml.iter(f"{NS}definedName")
        if name.get("name") != "_xlnm.Print_Titles"
    ]
    assert names == [
        ("_xlnm._FilterDatabase", "0", "1", "'products'!$A$1:$D$5"),
        ("_xlnm._FilterDatabase", "1", "1", "'products (2)'!$A$1:$D$4"),
    ]


def test_an_unformatted_sheet_is_plain_but_has_dates() -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook(options={"formatting": False})[0]))
    sheet = book["products"]
    assert (sheet.freeze_panes, sheet.auto_filter.ref, sheet["A1"].font.b) == (None, None, False)
    assert sheet["D2"].value == AT
    assert b"_FilterDatabase" not in parts(workbook(options={"formatting": False})[0])["xl/workbook.xml"]


def test_names_that_only_differ_in_case_are_two_columns() -> None:
    [table] = openpyxl_tables(workbook()[0]).values()
    assert table[0] == COLUMNS


@pytest.mark.parametrize("size", [1, 3, 4, 7])
def test_more_rows_go_to_more_sheets_each_with_the_header(five_rows_a_sheet: None, size: int) -> None:
    file, tally = workbook(options={"include_sheets": ["suppliers", "products"]}, size=size)
    tables = openpyxl_tables(file)
    assert list(tables) == ["suppliers", "suppliers (2)", "products", "products (2)"]
    assert calamine_tables(file).keys() == tables.keys()
    for name in ("suppliers", "products"):
        first, second = tables[name], tables[f"{name} (2)"]
        assert first[0] == second[0] == COLUMNS
        assert [row[0] for row in first[1:] + second[1:]] == list(range(7))
        assert len(first) == 5
    assert tally.records == {"suppliers": 7, "products": 7}


def test_a_full_sheet_is_not_followed_by_an_empty_one(five_rows_a_sheet: None) -> None:
    assert list(openpyxl_tables(workbook(rows=4)[0])) == ["products"]
    assert list(openpyxl_tables(workbook(rows=5)[0])) == ["products", "products (2)"]


def test_a_sheet_also_ends_when_it_is_too_large_for_the_32_bit_zip_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "MAX_SHEET_BYTES", 1)
    tables = openpyxl_tables(workbook(size=3)[0])
    assert [[row[0] for row in table[1:]] for table in tables.values()] == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_limits_are_those_of_excel() -> None:
    assert range_boundaries("A1:XFD1048576")[2:] == (excel.MAX_COLUMNS, excel.MAX_ROWS)


def test_too_many_columns_are_refused_before_the_first_byte() -> None:
    columns = [f"c{n}" for n in range(excel.MAX_COLUMNS + 1)]
    sheet = Sheet("products", columns, Selection(), iter([]))
    with pytest.raises(TooManyColumns) as refused:
        formats()["excel"].encode([sheet], formats()["excel"].Options(), Tally())
    assert (refused.value.columns, refused.value.limit) == (16_385, 16_384)


def test_as_many_columns_as_excel_has_are_written() -> None:
    columns = [f"c{n}" for n in range(excel.MAX_COLUMNS)]
    sheet = Sheet("products", columns, Selection(("c16383",)), iter([bson.encode({"c16383": "last"})]))
    file = b"".join(formats()["excel"].encode([sheet], formats()["excel"].Options(), Tally()))
    assert re.search(rb'<c r="XFD2"[^>]*><is><t>last', parts(file)["xl/worksheets/sheet1.xml"])


def test_columns_show_milliseconds_and_two_decimals_where_their_values_have_them() -> None:
    products: list[dict[str, Any]] = [
        {
            "_id": 1,
            "a": AT,
            "b": AT.replace(microsecond=0),
            "c": Decimal128("12.10"),
            "d": Decimal128("12.345"),
            "e": 1.5,
        },
        {"_id": 2, "a": AT.replace(microsecond=0), "c": Decimal128("1E+3"), "d": Decimal128("1.10")},
    ]
    columns = ["id", *"abcde"]
    for formatting in (True, False):
        options = formats()["excel"].Options.model_validate({"formatting": formatting})
        sheet = Sheet("products", columns, Selection(), iter([bson.encode(product) for product in products]))
        book = openpyxl.load_workbook(io.BytesIO(b"".join(formats()["excel"].encode([sheet], options, Tally()))))
        seconds, money = "yyyy-mm-dd hh:mm:ss", "0.00" if formatting else "General"
        shown = ["General", f"{seconds}.000", seconds, money, "General", "General"]
        assert [cell.number_format for cell in book["products"][2]] == shown
        assert book["products"]["B3"].number_format == f"{seconds}.000"


def test_the_properties_of_a_workbook_name_the_product_and_no_time() -> None:
    found = parts(workbook()[0])
    core, app = found["docProps/core.xml"], found["docProps/app.xml"]
    assert re.search(rb"<dc:creator[^>]*>Catalog Exports</dc:creator>", core)  # lxml, if installed, adds a namespace
    assert b"<Application>Catalog Exports</Application>" in app
    assert b"openpyxl" not in (core + app).lower()
    assert not re.search(rb"\d{4}-\d\d|created|modified", core + app)
