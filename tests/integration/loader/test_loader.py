"""The load command with a real MongoDB: what it loads and refuses, its messages and its exit codes."""

import csv
import io
import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from openpyxl import Workbook
from pymongo import MongoClient

from deploy.local.state import State, claimed
from services.exporter.transcode.values import CODEC
from tests.integration.loader.loading_commands import Document, command, environment, exported, local_command, run
from tests.system import ROOT, eventually

TENANT = "loader-tests"
SHOP: list[Document] = [
    {
        "_id": ObjectId("65f2f0a0a0a0a0a0a0a0a0a0"),
        "sku": "007",
        "price": 52.0,
        "cost": Decimal128("12.10"),
        "ean": "0012345678905",
        "attributes": {"color": "Red", "size": "XS"},
        "tags": ["a", "b"],
        "supplier": ObjectId("65f2f0a0a0a0a0a0a0a0a0b0"),
    },
    {
        "_id": ObjectId("65f2f0a0a0a0a0a0a0a0a0a1"),
        "sku": "008",
        "price": 10.5,
        "big": 2**62,
        "at": datetime(2026, 3, 15, 9),
        "name": "=1+1",
        "note": None,
        "active": True,
    },
]


@pytest.fixture
def client(mongo_uri: str) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](mongo_uri) as found:
        found.drop_database(f"catalogue_{TENANT}")
        yield found


def products(client: MongoClient[Document]) -> list[Document]:
    """The tenant's products in the order of their ids."""
    found = client[f"catalogue_{TENANT}"].get_collection("products", codec_options=CODEC)
    return list(found.find().sort("_id", 1))


def fill(client: MongoClient[Document]) -> None:
    client[f"catalogue_{TENANT}"]["products"].insert_many([dict(product) for product in SHOP])


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def as_excel_saves(rows: list[dict[str, str]]) -> str:
    """With semicolons and a BOM, TRUE for true, and numbers as a spreadsheet spells them."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0], delimiter=";")
    writer.writeheader()
    spelled = {"52.0": "52", "12.10": "12.1", "0012345678905": "12345678905", "true": "TRUE", str(2**62): "4.61169E+18"}
    writer.writerows({name: spelled.get(cell, cell) for name, cell in row.items()} for row in rows)
    return "\ufeff" + out.getvalue()


def test_only_the_cells_edited_in_a_spreadsheet_change(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    fill(client)
    rows = table(exported(client, TENANT, "csv"))
    rows[0] |= {"price": "53", "attributes.color": "Blue", "attributes.size": "", "tags": "a|c"}
    file = tmp_path / "edited.csv"
    file.write_text(as_excel_saves(rows), newline="")
    done = run(mongo_uri, file, TENANT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "loaded 2 (0 new, 1 changed, 1 unchanged)" in done.stdout
    edited = {**SHOP[0], "price": 53.0, "attributes": {"color": "Blue"}, "tags": ["a", "c"]}
    assert products(client) == [edited, SHOP[1]]
    assert [type(products(client)[0]["price"]), list(products(client)[0])] == [float, list(SHOP[0])]


@pytest.mark.full
def test_a_json_record_changes_what_it_names_and_keeps_types_json_does_not_have(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    fill(client)
    file = tmp_path / "some.jsonl"
    other = "65f2f0a0a0a0a0a0a0a0a0b1"
    file.write_text(json.dumps({"sku": "007", "price": 53, "supplier": other, "attributes": {"size": None, "fit": 1}}))
    assert run(mongo_uri, file, TENANT).returncode == 0
    changed = {"price": 53.0, "supplier": ObjectId(other), "attributes": {"color": "Red", "size": None, "fit": 1}}
    assert products(client) == [SHOP[0] | changed, SHOP[1]]


def test_a_catalogue_without_ids_is_loaded_by_sku_and_a_second_run_changes_nothing(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    file = tmp_path / "new.json"
    file.write_text('[{"sku": "B", "n": 12.10, "big": 9223372036854775807},\n {"sku": "A", "a.b": {"$x": "1"}}]')
    assert "2 new, 0 changed, 0 unchanged" in run(mongo_uri, file, TENANT).stdout
    before = products(client)
    assert "0 new, 0 changed, 2 unchanged" in run(mongo_uri, file, TENANT).stdout
    assert products(client) == before
    fields = [{name: value for name, value in product.items() if name != "_id"} for product in before]
    assert fields == [{"sku": "B", "n": Decimal128("12.10"), "big": 2**63 - 1}, {"sku": "A", "a.b": {"$x": "1"}}]
    assert "sku_1" in client[f"catalogue_{TENANT}"]["products"].index_information()


@pytest.mark.full
def test_two_records_of_one_product_are_applied_one_after_the_other(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    file = tmp_path / "twice.jsonl"
    file.write_text('{"sku": "A", "x": 1}\n{"sku": "A", "y": 2}\n{"sku": "A", "x": 3}\n')
    assert "1 new, 2 changed" in run(mongo_uri, file, TENANT).stdout
    [product] = products(client)
    assert (product["x"], product["y"]) == (3, 2)


@pytest.mark.full
def test_suppliers_are_a_collection_of_their_own(client: MongoClient[Document], mongo_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "suppliers.csv"
    file.write_text("id,name\nS1,Acme\n")
    assert run(mongo_uri, file, TENANT, "suppliers").returncode == 0
    assert list(client[f"catalogue_{TENANT}"]["suppliers"].find()) == [{"_id": "S1", "name": "Acme"}]
    assert products(client) == []


@pytest.mark.full
def test_bad_json_lines_are_named_and_the_rest_is_loaded(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.jsonl"
    lines: list[bytes] = [
        b'{"sku": "A"}',
        b"{",
        b'{"name": "x"}',
        b'{"sku": "\xff"}',
        b'{"sku": "B", "\\u0000": 1}',
        b"[1]",
    ]
    deep = b'{"sku": "C", "x": ' + b"[" * 300 + b"]" * 300 + b"}"
    file.write_bytes(b"\n".join([*lines, deep, b'{"sku": "D"}']))
    done = run(mongo_uri, file, TENANT)
    assert done.returncode == 1
    assert "loaded 2 (2 new, 0 changed, 0 unchanged), 6 bad lines not loaded" in done.stdout
    reasons = dict(line.removeprefix("line ").split(": ", 1) for line in done.stderr.splitlines())
    expected = {
        "2": "not JSON",
        "3": "there is neither an id nor a sku",
        "4": "not UTF-8",
        "5": "MongoDB cannot store it",
        "6": "not a JSON object",
        "7": "",
    }
    assert list(reasons) == list(expected)
    assert all(reasons[line].startswith(reason) for line, reason in expected.items())
    assert [product["sku"] for product in products(client)] == ["A", "D"]


def test_bad_rows_are_named_and_the_rest_is_loaded(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    fill(client)
    file = tmp_path / "bad.csv"
    file.write_text('sku,price,at\n007,"12,5",\n008,11,yesterday\n009,1\n,5,\n010,"x"y,\n008,12,2026-03-15T09:00:00Z\n')
    done = run(mongo_uri, file, TENANT)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "line 2: price: '12,5' is not a number; write 12.5",
        "line 3: at: 'yesterday' is not a date; write 2026-03-15T09:00:00Z",
        "line 4: 2 cells, but the header has 3 names",
        "line 5: there is neither an id nor a sku",
        'line 6: not CSV: text after a closing quote; a quote inside a cell is written ""',
    ]
    assert products(client) == [SHOP[0], {**SHOP[1], "price": 12.0}]


@pytest.mark.full
def test_a_dry_run_lists_the_changes_by_product_and_writes_nothing(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    fill(client)
    file = tmp_path / "edited.csv"
    file.write_text("sku,price,attributes.color,note\n007,53,,\n008,10.5,,x\n009,1,Red,\n008,abc,,\n")
    indexes = client[f"catalogue_{TENANT}"]["products"].index_information()
    done = run(mongo_uri, file, TENANT, "products", "--dry-run")
    assert (done.returncode, done.stderr) == (1, "line 5: price: 'abc' is not a number\n")
    lines = done.stdout.splitlines()
    assert lines[3].startswith("line 3: product ")
    assert lines[5].startswith("line 4: new product ")
    assert [line for line in lines if not line.startswith(("line 3", "line 4"))] == [
        'line 2: product "65f2f0a0a0a0a0a0a0a0a0a0", sku 007',
        "  price: 52.0 -> 53.0",
        '  attributes.color: "Red" -> (nothing)',
        '  note: null -> "x"',
        '  sku: (nothing) -> "009"',
        "  price: (nothing) -> 1.0",
        '  attributes.color: (nothing) -> "Red"',
        "nothing was written; would load 3 (1 new, 2 changed, 0 unchanged), 1 bad lines not loaded: "
        f"products of tenant {TENANT}",
    ]
    assert products(client) == SHOP
    assert client[f"catalogue_{TENANT}"]["products"].index_information() == indexes


@pytest.mark.full
def test_bad_lines_of_the_same_kind_are_listed_twenty_times_and_then_counted(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    fill(client)
    file = tmp_path / "bad.csv"
    file.write_text("sku,price\n" + "".join(f'007,"{number},5"\n' for number in range(50)) + ",1\n")
    done = run(mongo_uri, file, TENANT)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (1, 22)
    assert lines[20:] == [
        "line 52: there is neither an id nor a sku",
        "30 more like line 2: price: '0,5' is not a number; write 0.5",
    ]
    assert "50 bad lines" not in done.stdout
    assert "51 bad lines not loaded" in done.stdout


def test_a_workbook_is_loaded_by_the_names_of_its_sheets(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    fill(client)
    book = Workbook()
    first = book.worksheets[0]
    first.title = "suppliers"
    for row in [("id", "name"), ("S1", "Acme")]:
        first.append(row)
    sheets: dict[str, list[tuple[Any, ...]]] = {
        "products": [("sku", "price", "at", "new", None), ("007", 53, None, True, None), (None,) * 5, ("008", "x")],
        "products (2)": [("sku", "price", "at", "new"), ("008", 10.5, datetime(2026, 3, 15, 9, 0, 0, 500000), False)],
    }
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for cells in rows:
            sheet.append(cells)
    file = tmp_path / "book.xlsx"
    book.save(file)
    assert run(mongo_uri, file, TENANT, "suppliers").returncode == 0
    assert list(client[f"catalogue_{TENANT}"]["suppliers"].find()) == [{"_id": "S1", "name": "Acme"}]
    done = run(mongo_uri, file, TENANT)
    assert (done.returncode, done.stderr) == (1, "line 4: price: 'x' is not a number\n")
    [one, other] = products(client)
    assert one == SHOP[0] | {"price": 53.0, "new": True}
    assert other == SHOP[1] | {"at": datetime(2026, 3, 15, 9, 0, 0, 500000), "new": False}


@pytest.mark.full
def test_a_sku_of_several_products_is_refused(client: MongoClient[Document], mongo_uri: str, tmp_path: Path) -> None:
    client[f"catalogue_{TENANT}"]["products"].insert_many([{"_id": 1, "sku": "A"}, {"_id": 2, "sku": "A"}])
    file = tmp_path / "a.jsonl"
    file.write_text('{"sku": "A", "x": 1}\n{"id": 2, "sku": "A", "x": 1}')
    done = run(mongo_uri, file, TENANT)
    assert (done.returncode, done.stderr) == (1, "line 1: 2 products have this sku; give the id\n")
    assert products(client) == [{"_id": 1, "sku": "A"}, {"_id": 2, "sku": "A", "x": 1}]


@pytest.mark.full
def test_a_product_with_a_field_called_id_is_found_by_either_id(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    client[f"catalogue_{TENANT}"]["products"].insert_many(
        [{"_id": 1, "id": "x", "n": 1}, {"_id": 2, "id": "y", "n": 1}]
    )
    file = tmp_path / "own.csv"
    file.write_text("id,n,_id\nx,2,1\ny,3,\n")
    assert "2 changed" in run(mongo_uri, file, TENANT).stdout
    assert products(client) == [{"_id": 1, "id": "x", "n": 2}, {"_id": 2, "id": "y", "n": 3}]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("blank.jsonl", b"\xef\xbb\xbf\n \n", "the file is empty"),
        ("book.csv", b"PK\x03\x04...", "not an Excel workbook"),
        ("twice.csv", b"sku,a,a\n1,2,3\n", "names a more than once"),
        ("quote.csv", b'sku,a\n1,"2\n3,4\n', "a quote on line 2 or after it never ends"),
        ("pretty.json", b'{\n "sku": 1\n}', "one object over several lines"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused_before_anything_changes(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    done = run(mongo_uri, file, TENANT)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert products(client) == []


@pytest.mark.full
def test_a_wrong_command_has_a_clear_message(mongo_uri: str, tmp_path: Path) -> None:
    missing = run(mongo_uri, tmp_path / "none.csv", TENANT)
    assert (missing.returncode, "No such file" in missing.stderr) == (2, True)
    folder = run(mongo_uri, tmp_path, TENANT)
    assert (folder.returncode, "not a file" in folder.stderr) == (2, True)
    file = tmp_path / "a.jsonl"
    file.write_text('{"sku": "A"}')
    tenant = run(mongo_uri, file, "No Tenant")
    assert (tenant.returncode, "must have 1 to 38 characters" in tenant.stderr) == (2, True)


@pytest.mark.full
def test_without_an_address_the_message_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"sku": "A"}')
    assert "set MONGODB_URI" in failure(command(file, TENANT), tmp_path)


def test_without_a_local_stack_the_message_says_what_to_run(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"sku": "A"}')
    assert "`make up`" in failure(local_command(file, TENANT), tmp_path)


@pytest.mark.full
def test_make_load_finds_the_mongodb_of_the_running_stack(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"sku": "A"}')
    with claimed(tmp_path) as stack:
        stack.write(State(url="http://127.0.0.1:1", mongodb_uri=mongo_uri))
        env = environment("", LOCAL_DIR=str(tmp_path))
        done = subprocess.run(
            local_command(file, TENANT), cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert [product["sku"] for product in products(client)] == ["A"]


def failure(arguments: list[str], folder: Path) -> str:
    """What a command prints to stderr without MONGODB_URI and without a stack in this folder."""
    env = environment("", LOCAL_DIR=str(folder / "nothing"))
    done = subprocess.run(arguments, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


@pytest.mark.full
def test_a_mongodb_that_does_not_answer_has_a_clear_message(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"sku": "A"}')
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300"
    done = run(uri, file, TENANT)
    assert (done.returncode, "MongoDB does not answer" in done.stderr) == (2, True)


@pytest.mark.full
def test_an_interrupted_load_says_what_it_loaded_and_can_be_repeated(
    client: MongoClient[Document], mongo_uri: str, tmp_path: Path
) -> None:
    file = tmp_path / "long.jsonl"
    total = 60_000
    file.write_text("".join(f'{{"sku": "{number}"}}\n' for number in range(total)))
    found: Any = client[f"catalogue_{TENANT}"]["products"]
    with subprocess.Popen(
        command(file, TENANT), cwd=ROOT, env=environment(mongo_uri), stderr=subprocess.PIPE, text=True
    ) as load:
        eventually("something is loaded", found.estimated_document_count)
        load.send_signal(signal.SIGINT)
        _, said = load.communicate(timeout=60)
    count = found.count_documents({})
    assert (load.returncode, 0 < count < total) == (130, True)
    assert f"loaded {count:,} ({count:,} new, 0 changed, 0 unchanged) so far" in said
    again = run(mongo_uri, file, TENANT)
    assert f"({total - count:,} new, 0 changed, {count:,} unchanged)" in again.stdout
