"""`make demo` with a smaller catalogue: correct files, deliveries, clean-up, and detection of damaged files."""

import csv
import hashlib
import io
import json
import re
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from pymongo import MongoClient

from deploy.local.demo.checks.readback import differences
from deploy.local.demo.checks.readers import Unreadable
from deploy.local.demo.exports import EXPORTS, Download, Exported
from deploy.local.demo.products.catalogue import Catalogue, made
from tests.integration.local.local_commands import Command, children, is_alive, ran
from tests.system import eventually

SIZE = ("--products", "300", "--suppliers", "5")
FILES = {export.form: export.file for export in EXPORTS}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's files, and its output in `stdout`."""
    folder = tmp_path_factory.mktemp("demo")
    ended = ran("deploy.local.demo", *SIZE, "--output", str(folder / "files"), LOCAL_DIR=str(folder / "local"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder / "files" / "stdout").write_text(ended.stdout)
    return folder / "files"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return made(300, 5)


def test_it_makes_six_files_a_table_and_leaves_nothing_else(output: Path) -> None:
    assert sorted(file.name for file in output.iterdir()) == sorted([*FILES.values(), "stdout"])
    assert list((output.parent / "local").iterdir()) == []
    printed = (output / "stdout").read_text()
    for form, file in FILES.items():
        rows = 305 if form == "excel" else 300
        size = f"{(output / file).stat().st_size:,}"
        assert re.search(rf"{form} +│ {file} +│ +{rows} │ +{size} │ +[\d.]+ │ [0-9a-f]{{64}}", printed), printed
    assert "every value read back equals the catalogue" in printed


def test_it_shows_a_receipt_of_every_file_at_both_destinations(output: Path) -> None:
    printed = (output / "stdout").read_text()
    assert "platforms registered and tested: sftp, s3" in printed
    for file in FILES.values():
        content = (output / file).read_bytes()
        proof = rf"{len(content):,} │ +[\d.]+ │ {hashlib.sha256(content).hexdigest()}"
        name = rf"products_[\d_-]+{Path(file).suffix}"
        assert re.search(rf"│ sftp +│ {file} +│ exports/{name} +│ +{proof}", printed), printed
        in_s3 = rf"│ s3 +│ {file} +│ s3://demo/exports/{name} +│ +{proof} │\n│[ │]+{hashlib.md5(content).hexdigest()}"
        assert re.search(in_s3, printed), printed


@pytest.mark.full
def test_it_takes_given_servers_replaces_its_tenant_and_leaves_no_key(
    mongo_uri: str, nats_url: str, tmp_path: Path
) -> None:
    local = {"LOCAL_DIR": str(tmp_path / "local"), "MONGODB_URI": mongo_uri, "NATS_URL": nats_url}
    with MongoClient[dict[str, object]](mongo_uri) as client:
        for database, collection in (("gateway", "keys"), ("delivery", "deliveries")):
            client[database][collection].delete_many({"tenant": "demo"})
        client["catalogue_demo"]["products"].insert_one({"_id": "of yesterday"})
        ended = ran("deploy.local.demo", "--products", "10", "--output", str(tmp_path / "files"), **local)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert client["catalogue_demo"]["products"].count_documents({}) == 10
        keys = list(client["gateway"]["keys"].find({"tenant": "demo"}))
        assert client["exporter"]["jobs"].count_documents({"tenant": "demo"}) == 0
        assert client["delivery"]["deliveries"].count_documents({"tenant": "demo", "state": "delivered"}) == 2 * len(
            EXPORTS
        )
        assert client["delivery"]["platforms"].count_documents({"tenant": "demo"}) == 0
    [key] = keys
    assert key["revoked_at"]


@pytest.mark.parametrize("after", ["starting", pytest.param("csv", marks=pytest.mark.full)])
def test_ctrl_c_stops_everything(tmp_path: Path, after: str) -> None:
    local = tmp_path / "local"
    demo = Command(tmp_path / "out", "deploy.local.demo", "--output", str(tmp_path / "files"), LOCAL_DIR=str(local))
    try:
        demo.wait_printed(after)
        eventually("a child runs", lambda: children(demo.pid))
        running = children(demo.pid)
        assert demo.end(signal.SIGINT) == 130
    finally:
        demo.kill()
    assert "interrupted; everything is stopped" in demo.output
    assert "Traceback" not in demo.output
    assert not [pid for pid in running if is_alive(pid)]
    assert list(local.iterdir()) == []


@pytest.mark.full
def test_ctrl_c_leaves_no_platform_and_no_key_on_given_servers(mongo_uri: str, nats_url: str, tmp_path: Path) -> None:
    local = {"LOCAL_DIR": str(tmp_path / "local"), "MONGODB_URI": mongo_uri, "NATS_URL": nats_url}
    demo = Command(tmp_path / "out", "deploy.local.demo", "--output", str(tmp_path / "files"), **local)
    with MongoClient[dict[str, object]](mongo_uri) as client:
        try:
            demo.wait_printed("platforms registered")
            assert client["delivery"]["platforms"].count_documents({"tenant": "demo"}) == 2
            assert demo.end(signal.SIGINT) == 130
        finally:
            demo.kill()
        assert client["delivery"]["platforms"].count_documents({"tenant": "demo"}) == 0
        assert client["gateway"]["keys"].count_documents({"tenant": "demo", "revoked_at": None}) == 0
    assert "Traceback" not in demo.output


@pytest.fixture
def exported(output: Path, tmp_path: Path) -> Iterator[Callable[[str], Exported]]:
    """A copy of the demo's file of a format, to be damaged."""

    def copy(form: str) -> Exported:
        [export] = [export for export in EXPORTS if export.form == form]
        path = tmp_path / export.file
        shutil.copy(output / export.file, path)
        return Exported(export, "", Download(path, path.stat().st_size, ""), 305 if form == "excel" else 300, 0.0)

    yield copy


Copies = Callable[[str], Exported]


def found(file: Exported, catalogue: Catalogue) -> list[str]:
    return [str(difference) for difference in differences(file, catalogue)]


@pytest.mark.parametrize("form", FILES)
@pytest.mark.full
def test_an_undamaged_file_has_no_difference(exported: Copies, catalogue: Catalogue, form: str) -> None:
    assert found(exported(form), catalogue) == []


def changed_csv(data: bytes, change: Callable[[list[list[str]]], object]) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    change(rows)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def lose_a_zero(rows: list[list[str]]) -> None:
    at = rows[0].index("sku")
    rows[17][at] = rows[17][at].replace("0", "", 1)


def add_a_column(rows: list[list[str]]) -> None:
    for row in rows:
        row.append("x")


def test_one_wrong_cell_of_a_csv_file_is_named(exported: Copies, catalogue: Catalogue) -> None:
    file = exported("csv")
    file.download.path.write_bytes(changed_csv(file.download.path.read_bytes(), lose_a_zero))
    sku = catalogue.products[16]["sku"]
    assert found(file, catalogue) == [
        f"products.csv, products, row 17 (id 000017), column sku: expected {sku!r}, found {sku.replace('0', '', 1)!r}"
    ]


def test_one_wrong_cell_in_a_zip_file_is_named(exported: Copies, catalogue: Catalogue) -> None:
    file = exported("zip")
    with zipfile.ZipFile(file.download.path) as archive:
        [name] = archive.namelist()
        data = archive.read(name)
    with zipfile.ZipFile(file.download.path, "w") as archive:
        archive.writestr(name, changed_csv(data, lose_a_zero))
    [line] = found(file, catalogue)
    assert line.startswith("products.zip, products, row 17 (id 000017), column sku: expected ")


def test_a_number_that_became_text_in_a_json_file_is_named(exported: Copies, catalogue: Catalogue) -> None:
    file = exported("json")
    documents = json.loads(file.download.path.read_text(), parse_float=lambda digits: f"float {digits}")
    documents[3]["stock"] = str(documents[3]["stock"])
    text = re.sub(r'"float ([^"]+)"', r"\1", json.dumps(documents))
    file.download.path.write_text(text)
    stock = catalogue.products[3]["stock"]
    assert found(file, catalogue) == [
        f"products.json, products, row 4 (id 000004), column stock: expected {stock}, found '{stock}'"
    ]


def test_a_field_that_is_missing_in_a_json_file_is_named(exported: Copies, catalogue: Catalogue) -> None:
    file = exported("json")
    documents = json.loads(file.download.path.read_text(), parse_float=lambda digits: f"float {digits}")
    del documents[3]["stock"]
    file.download.path.write_text(re.sub(r'"float ([^"]+)"', r"\1", json.dumps(documents)))
    assert any(line.endswith("found '(nothing)'") and "column stock" in line for line in found(file, catalogue))


@pytest.mark.parametrize(("sheet", "row", "column"), [("products", 5, "sku"), ("suppliers", 2, "address.zip")])
def test_one_wrong_cell_of_a_sheet_is_named(
    exported: Copies, catalogue: Catalogue, sheet: str, row: int, column: str
) -> None:
    file = exported("excel")
    book = openpyxl.load_workbook(file.download.path)
    header = [cell.value for cell in book[sheet][1]]
    book[sheet].cell(row + 1, header.index(column) + 1).value = 12345
    book.save(file.download.path)
    named = [line for line in found(file, catalogue) if f"column {column}" in line]
    assert len(named) == 1
    assert named[0].startswith(f"products.xlsx, {sheet}, row {row} (id ")
    assert named[0].endswith("found 12345.0")


@pytest.mark.full
def test_lost_rows_columns_and_parts_are_named(exported: Copies, catalogue: Catalogue) -> None:
    file = exported("csv")
    whole = file.download.path.read_bytes()
    file.download.path.write_bytes(changed_csv(whole, lambda rows: rows.pop()))
    assert found(file, catalogue) == ["products.csv, products, number of rows: expected 300, found 299"]
    file.download.path.write_bytes(changed_csv(whole, lambda rows: [row.pop() for row in rows]))
    assert found(file, catalogue)[0].startswith("products.csv, products, missing columns: expected ['")
    file.download.path.write_bytes(changed_csv(whole, add_a_column))
    assert found(file, catalogue)[0].endswith("found ['x']")


def test_a_count_that_is_wrong_is_named(exported: Copies, catalogue: Catalogue) -> None:
    assert found(replace(exported("csv"), records=299), catalogue) == [
        "products.csv, records counted by the job: expected 300, found 299"
    ]


@pytest.mark.parametrize("form", FILES)
def test_a_file_that_breaks_off_is_unreadable_or_different(exported: Copies, catalogue: Catalogue, form: str) -> None:
    file = exported(form)
    whole = file.download.path.read_bytes()
    file.download.path.write_bytes(whole[: len(whole) * 2 // 3])
    try:
        lines = found(file, catalogue)
    except Unreadable as exc:
        lines = [str(exc)]
    assert lines
    assert lines[0].startswith(file.export.file)
