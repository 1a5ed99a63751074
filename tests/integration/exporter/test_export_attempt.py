"""One attempt at a file, from a real mongod to a folder: columns, snapshots, cancellation, faults and warnings."""

import csv
import hashlib
import io
import json
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import openpyxl
import pyarrow.parquet
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pymongo import CursorType, MongoClient, monitoring
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from deploy.local.servers import Mongod, free_port
from services.chassis.blobs.contract import BlobWriter
from services.chassis.blobs.local import LocalStore
from services.chassis.mongo import connect_sync
from services.exporter.catalogue import snapshot as catalogue
from services.exporter.catalogue.column_store import RememberedColumns
from services.exporter.errors import JobFault
from services.exporter.export import sheet_reader
from services.exporter.export.attempt import Attempt, Progress, Written
from services.exporter.export.headers import Headers
from services.exporter.export.plan import Plan
from services.exporter.formats import excel, formats
from services.exporter.jobs.job import Stage
from services.exporter.prefetch import Stopped
from services.exporter.requests.request import check_request
from tests.system import eventually

Document = dict[str, Any]

KEY = "t/j/1/export.bin"
BATCH = catalogue.BATCH_DOCUMENTS
SNAPSHOT_TOO_OLD = 239


class Finds(monitoring.CommandListener):
    """Counts the passes over the products."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.count += event.command_name == "find" and event.command["find"] == "products"

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to count."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to count."""


class Watched:
    """A writer that calls a function before its n-th write."""

    def __init__(self, writer: BlobWriter, at: int, action: Callable[[], None]) -> None:
        self._writer, self._left, self._action = writer, at, action
        self.commit, self.abort = writer.commit, writer.abort

    def write(self, data: bytes) -> None:
        self._left -= 1
        if self._left == 0:
            self._action()
        self._writer.write(data)


@dataclass
class Bench:
    """A new tenant, and a folder for its file."""

    client: MongoClient[Document]
    folder: Path
    finds: Finds
    tenant: str = field(default_factory=lambda: f"t{uuid4().hex[:12]}")
    progress: Progress = field(default_factory=Progress)
    stop: threading.Event = field(default_factory=threading.Event)
    opened: int = 0

    def fill(self, documents: list[Document], collection: str = "products") -> None:
        self.client[catalogue.database_name(self.tenant)][collection].insert_many(documents)

    @property
    def products(self) -> Any:
        return self.client[catalogue.database_name(self.tenant)]["products"]

    def run(
        self,
        form: str = "csv",
        options: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        order: tuple[str, ...] = (),
        last: tuple[str, ...] | None = None,
        widths: Mapping[str, int] | None = None,
        whole: tuple[str, ...] = (),
        types: Mapping[str, str] | None = None,
        max_columns: int = 1_000,
        at_write: tuple[int, Callable[[], None]] | None = None,
    ) -> Written:
        """Make the file; `at_write` calls a function before the n-th chunk of the first file is written."""
        made = formats()[form]
        chosen = made.Options.model_validate({"utf8_bom": False, **(options or {})} if form == "csv" else options or {})
        remembered = {sheet: RememberedColumns() for sheet in made.sheets(chosen)} | {
            "products": RememberedColumns(order, last, widths or {}, whole, types or {})
        }
        sort = check_request(formats(), form, json.dumps(options or {})).sort
        plan = Plan(self.tenant, made, chosen, query or {}, remembered, max_columns, sort)

        def open_writer() -> BlobWriter:
            self.opened += 1
            writer = LocalStore(self.folder).writer(KEY, media_type="")
            return Watched(writer, *at_write) if at_write is not None and self.opened == 1 else writer

        self.finds.count = 0
        sizes = catalogue.sizes(self.client, self.tenant, made.sheets(chosen))
        return Attempt(plan, self.client, sizes, open_writer, self.progress, self.stop).run()

    @property
    def file(self) -> bytes:
        return (self.folder / KEY).read_bytes()

    @property
    def table(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.file.decode(), newline="")))

    def left(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def finds() -> Finds:
    return Finds()


@pytest.fixture(scope="module")
def client(mongo_uri: str, finds: Finds) -> Iterator[MongoClient[Document]]:
    settings: dict[str, Any] = {"w": "majority", "journal": True, "readConcernLevel": "majority", "tz_aware": True}
    with MongoClient[Document](mongo_uri, event_listeners=[finds], **settings) as made:
        yield made


@pytest.fixture
def bench(client: MongoClient[Document], finds: Finds, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(client, tmp_path, finds)
    yield made
    client.drop_database(catalogue.database_name(made.tenant))


def plain(count: int) -> list[Document]:
    return [{"_id": n, "sku": f"S{n}"} for n in range(count)]


def long(count: int) -> list[Document]:
    """16 batches of these are more than the stages of an export can buffer."""
    return [{"_id": n, "text": "x" * 4_000} for n in range(count)]


@pytest.fixture
def batches_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets mongod send a batch only when the export asks for it; otherwise the sockets might buffer all of them."""
    kinds = SimpleNamespace(NON_TAILABLE=CursorType.NON_TAILABLE, EXHAUST=CursorType.NON_TAILABLE)
    monkeypatch.setattr(catalogue, "CursorType", kinds)


def codes(written: Written) -> list[str]:
    return [warning.code for warning in written.warnings]


# Columns


def test_a_column_first_seen_in_the_last_row_is_in_the_header(bench: Bench) -> None:
    bench.fill([*plain(2 * BATCH), {"_id": 2 * BATCH, "late": {"x": 1}}])
    written = bench.run()
    assert bench.table[0] == ["id", "sku", "late.x"]
    assert bench.table[-1] == [str(2 * BATCH), "", "1"]
    assert len(bench.table) == 2 * BATCH + 2
    assert written.records == {"products": 2 * BATCH + 1}
    assert written.seen == {"products": ("id", "sku", "late.x")}
    assert bench.finds.count == 1  # all products fit into the sample


def test_with_the_columns_of_the_last_export_one_pass_is_enough(bench: Bench) -> None:
    bench.fill(plain(3))
    bench.run(last=("id", "sku"), order=("id", "sku"))
    assert bench.finds.count == 1
    assert bench.opened == 1


def test_a_new_column_is_found_before_the_file_is_committed(bench: Bench) -> None:
    bench.fill([*plain(BATCH), {"_id": BATCH, "new": 1}])
    written = bench.run(last=("id", "sku"), order=("id", "sku"))
    assert bench.table[0] == ["id", "sku", "new"]
    assert written.seen == {"products": ("id", "sku", "new")}
    assert bench.finds.count == 2  # after the new column, the first pass goes on to find more of them
    assert bench.left() == [bench.folder / KEY]


def test_a_column_that_no_longer_exists_is_not_in_the_header(bench: Bench) -> None:
    bench.fill(plain(3))
    written = bench.run(last=("id", "ghost", "sku"), order=("id", "ghost", "sku"))
    assert bench.table[0] == ["id", "sku"]
    assert written.seen == {"products": ("id", "sku")}
    assert bench.finds.count == 2


def test_a_new_column_and_a_removed_one_are_handled_together(bench: Bench) -> None:
    bench.fill([*plain(BATCH), {"_id": BATCH, "new": 1}])
    bench.run(last=("id", "ghost", "sku"), order=("id", "ghost", "sku"))
    assert bench.table[0] == ["id", "sku", "new"]


def test_columns_keep_the_order_of_earlier_exports(bench: Bench) -> None:
    bench.fill([{"_id": 1, "n": 1, "a": 2, "b": 3}])
    written = bench.run(order=("b", "gone", "a", "id"))
    assert bench.table[0] == ["id", "b", "a", "n"]
    assert set(written.seen["products"]) == {"id", "b", "a", "n"}


def test_leaves_of_an_included_parent_keep_the_order_of_the_last_export(bench: Bench) -> None:
    bench.fill([{"_id": 1, "a": {"y": 1, "x": 2}}])
    written = bench.run(options={"include_fields": ["a"]}, last=("a.x", "a.y"))
    assert bench.table == [["a.x", "a.y"], ["2", "1"]]
    assert written.seen == {"products": ("a.x", "a.y")}
    assert bench.finds.count == 1


EMPTY_FIRST: list[Document] = [{"_id": 1, "a": {}, "b": 1}, {"_id": 2, "b": {}, "a": {"x": 1}}, {"_id": 3, "c": {}}]


@pytest.mark.parametrize("form", ["csv", "excel"])
def test_an_empty_object_has_no_column_where_other_documents_have_fields_below_it(bench: Bench, form: str) -> None:
    bench.fill(EMPTY_FIRST)
    first = bench.run(form)
    file = bench.file
    assert (first.seen, first.columns) == (
        {"products": ("id", "a", "a.x", "b", "c")},
        {"products": ("id", "a.x", "b", "c")},
    )
    again = bench.run(
        form, order=first.seen["products"], last=first.columns["products"], widths=first.widths.get("products")
    )
    assert (bench.finds.count, again, bench.file) == (1, first, file)
    if form == "csv":
        assert bench.table == [["id", "a.x", "b", "c"], ["1", "", "1", ""], ["2", "1", "{}", ""], ["3", "", "", "{}"]]


def test_columns_of_empty_objects_that_an_older_version_remembered_are_left_out(bench: Bench) -> None:
    bench.fill(EMPTY_FIRST)
    names = ("id", "a", "b", "a.x", "c")
    bench.run(order=names, last=names)
    assert bench.table[0] == ["id", "a.x", "b", "c"]
    assert bench.finds.count == 2


def test_an_empty_object_gets_a_column_when_the_fields_below_it_are_gone(bench: Bench) -> None:
    bench.fill([{"_id": 1, "a": {}, "b": 1}])
    bench.run(order=("id", "a", "a.x", "b"), last=("id", "a.x", "b"))
    assert bench.table == [["id", "a", "b"], ["1", "{}", "1"]]
    bench.products.insert_one({"_id": 2, "a": {"y": 2}})
    bench.run(order=("id", "a", "a.x", "b"), last=("id", "a", "b"))
    assert bench.table == [["id", "a.y", "b"], ["1", "", "1"], ["2", "2", ""]]


def test_widths_are_those_of_the_columns_after_an_empty_object_lost_its_column(bench: Bench) -> None:
    bench.fill([{"_id": n, "long_name_of_an_object": {}} for n in range(BATCH)])
    bench.fill([{"_id": BATCH, "long_name_of_an_object": {"a": 1}}])
    written = bench.run("excel")
    assert bench.finds.count == 2  # one to determine the header, one to write
    assert written.widths == {"products": {"id": 8, "long_name_of_an_object.a": 30}}


def test_fields_called_id_keep_their_names_when_they_are_included(bench: Bench) -> None:
    bench.fill([{"_id": {"x": 1}, "id": 5}, {"_id": {"x": 2}, "id": {"x": 6}}, {"_id": 7}])
    bench.run(options={"include_fields": ["_id.x", "id.x", "id"]})
    assert bench.table == [["_id.x", "id.x", "id"], ["1", "", "5"], ["2", "6", ""], ["", "", "7"]]


def test_json_needs_only_one_pass(bench: Bench) -> None:
    bench.fill([{"_id": 1, "a": {"b": None}}, {"_id": 2, "c": []}])
    written = bench.run("json", {"pretty": False})
    assert json.loads(bench.file) == [{"id": 1, "a": {"b": None}}, {"id": 2, "c": []}]
    assert bench.finds.count == 1
    assert written.records == {"products": 2}


def test_a_catalogue_without_a_collection_makes_a_file_without_rows(bench: Bench) -> None:
    for form in formats():
        assert bench.run(form).records == {"products": 0}
        assert bench.file
    bench.run("csv")
    assert bench.table == [["id"]]


def test_too_many_columns_fail_the_job(bench: Bench) -> None:
    bench.fill([{"_id": 1, "a": {"b": 1, "c": 2}, "d": 3}])
    with pytest.raises(JobFault) as fault:
        bench.run(max_columns=3)
    assert (fault.value.code, fault.value.transient) == ("too_many_columns", False)
    assert "at least 4 columns, at most 3 are allowed by the setting MAX_COLUMNS" in fault.value.message
    bench.run(max_columns=4)


def test_more_columns_than_a_workbook_holds_fail_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "MAX_COLUMNS", 1)
    bench.fill(plain(1))
    with pytest.raises(JobFault) as fault:
        bench.run("excel")
    assert (fault.value.code, fault.value.transient) == ("too_many_columns", False)
    assert bench.left() == []


# First exports


def small_sample(monkeypatch: pytest.MonkeyPatch, batch: int = 2) -> None:
    """Makes the sample one batch, of so many documents."""
    monkeypatch.setattr(catalogue, "BATCH_DOCUMENTS", batch)
    monkeypatch.setattr(sheet_reader, "SAMPLE_BYTES", 1)


@pytest.mark.parametrize("form", ["csv", "zip", "json"])
def test_a_first_export_reads_the_catalogue_once(bench: Bench, form: str) -> None:
    bench.fill(plain(3 * BATCH))
    assert bench.run(form).records == {"products": 3 * BATCH}
    assert (bench.finds.count, bench.opened) == (1, 1)


def test_a_workbook_without_formatting_needs_no_widths(bench: Bench) -> None:
    bench.fill(plain(BATCH))
    bench.run("excel", {"formatting": False})
    assert bench.finds.count == 1


def test_columns_of_the_whole_catalogue_are_expected_also_where_the_first_products_do_not_have_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_sample(monkeypatch)
    bench.fill([*plain(9), {"_id": 9, "late": {"x": 1, "y": 2}}])
    bench.run(options={"exclude_fields": ["late.y"]}, whole=("id", "sku", "late.x", "late.y"))
    assert bench.table[0] == ["id", "sku", "late.x"]
    assert (bench.finds.count, bench.opened) == (1, 1)


def test_columns_of_the_whole_catalogue_that_are_gone_have_no_column(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_sample(monkeypatch)
    bench.fill(plain(9))
    bench.run(options={"exclude_fields": ["x"]}, whole=("id", "gone", "sku"))
    assert bench.table[0] == ["id", "sku"]
    assert (bench.finds.count, bench.opened) == (2, 2)


def test_more_expected_columns_than_are_allowed_do_not_fail_a_file_that_needs_fewer(bench: Bench) -> None:
    bench.fill(plain(3))
    bench.run(options={"exclude_fields": ["x"]}, whole=("id", "sku", "a", "b"), max_columns=2)
    assert bench.table[0] == ["id", "sku"]


def test_too_many_columns_that_come_after_the_sample_fail_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_sample(monkeypatch)
    bench.fill([*plain(4), {"_id": 4, "a": 1}, {"_id": 5, "b": 1}])
    with pytest.raises(JobFault) as fault:
        bench.run(max_columns=3)
    assert fault.value.code == "too_many_columns"
    assert bench.left() == []


NAMES = st.sampled_from(["a", "b", "c"])
LEAVES: st.SearchStrategy[Any] = st.one_of(st.integers(0, 9), st.just({}))
PRODUCTS = st.lists(
    st.dictionaries(NAMES, st.one_of(LEAVES, st.dictionaries(NAMES, LEAVES, max_size=2)), max_size=3), max_size=12
)
COLUMNS = st.lists(st.sampled_from(["id", "a", "b", "a.a", "a.b", "b.c", "gone"]), unique=True).map(tuple)
FLAT = st.sampled_from([("csv", {}), ("zip", {"max_rows_per_file": 2}), ("excel", {"formatting": False})])
FIELDS = st.sampled_from([{}, {"include_fields": ["b", "a"]}, {"exclude_fields": ["a.b", "c"]}])


@given(products=PRODUCTS, flat=FLAT, fields=FIELDS, order=COLUMNS, whole=COLUMNS, batch=st.integers(2, 4))
def test_the_file_is_that_of_an_export_which_reads_everything_before_it_writes(
    client: MongoClient[Document],
    finds: Finds,
    products: list[Document],
    flat: tuple[str, Document],
    fields: Document,
    order: tuple[str, ...],
    whole: tuple[str, ...],
    batch: int,
) -> None:
    form, options = flat[0], flat[1] | fields
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        bench = Bench(client, Path(folder), finds, tenant="first-exports")
        bench.products.delete_many({})
        if products:
            bench.fill([{"_id": number, **product} for number, product in enumerate(products)])
        small_sample(monkeypatch, batch)
        predicted = bench.run(form, options, order=order, whole=whole)
        passes, file = bench.finds.count, bench.file
        monkeypatch.setattr(Headers, "predict", lambda headers, sheet, _: headers.determine(sheet))
        assert (bench.run(form, options, order=order), bench.file) == (predicted, file)
    if fields.get("include_fields") is None:  # else a warning may need a query of its own
        assert passes <= 2


# Rows


def test_documents_that_change_while_they_are_exported_do_not_mix(bench: Bench) -> None:
    count = 3 * BATCH
    bench.fill([{"_id": n, "version": 1} for n in range(count)])

    def change() -> None:
        bench.products.update_many({}, {"$set": {"version": 2, "new": True}})
        bench.products.delete_many({"_id": {"$gte": count - 10}})
        bench.fill([{"_id": count + n, "version": 2} for n in range(10)])

    bench.run(last=("id", "version"), at_write=(2, change))
    header, *rows = bench.table
    assert header == ["id", "version"]
    assert rows == [[str(n), "1"] for n in range(count)]


def test_size_and_hash_are_those_of_the_file(bench: Bench) -> None:
    bench.fill(plain(10))
    for form in formats():
        written = bench.run(form)
        assert written.size == len(bench.file)
        assert written.sha256 == hashlib.sha256(bench.file).hexdigest()


SHUFFLED: list[Document] = [{"_id": n, "group": n % 2, "rank": 7 - n} for n in (5, 3, 1, 4, 2)]


def test_rows_are_in_stored_order_and_new_ones_come_last(bench: Bench) -> None:
    bench.fill(SHUFFLED)
    bench.run()
    file = bench.file
    assert [row[0] for row in bench.table[1:]] == ["5", "3", "1", "4", "2"]
    bench.run()
    assert bench.file == file
    bench.products.delete_one({"_id": 3})
    bench.products.update_one({"_id": 1}, {"$set": {"rank": 2**40}})
    bench.fill([{"_id": 0}])
    bench.run()
    assert [row[0] for row in bench.table[1:]] == ["5", "1", "4", "2", "0"]


@pytest.mark.parametrize(
    ("order_by", "ids"),
    [
        (["id"], "12345"),
        (["-id"], "54321"),
        (["group", "-rank"], "24135"),
        (["-group"], "13524"),
        (["rank", "id"], "54321"),
    ],
)
def test_rows_are_in_the_requested_order(bench: Bench, order_by: list[str], ids: str) -> None:
    bench.fill(SHUFFLED)
    bench.run(options={"order_by": order_by})
    assert "".join(row[0] for row in bench.table[1:]) == ids
    bench.products.create_index("group")
    bench.run(options={"order_by": order_by}, query={"group": {"$gte": 0}})
    assert "".join(row[0] for row in bench.table[1:]) == ids


def test_a_sort_that_needs_more_memory_than_mongodb_allows_is_done_on_disk(
    bench: Bench, client: MongoClient[Document]
) -> None:
    limit = "internalQueryMaxBlockingSortMemoryUsageBytes"
    before = client.admin.command({"setParameter": 1, limit: 100_000})["was"]
    try:
        bench.fill([{"_id": n, "text": f"{(n * 7919) % 2000:04}{'x' * 1_000}"} for n in range(2000)])
        bench.run(options={"order_by": ["text"]})
    finally:
        client.admin.command({"setParameter": 1, limit: before})
    texts = [row[1] for row in bench.table[1:]]
    assert (len(texts), texts) == (2000, sorted(texts))


def test_a_workbook_has_more_sheets_for_more_rows_and_for_all_suppliers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excel, "MAX_ROWS", 3)
    bench.fill(plain(5))
    bench.fill([{"_id": "s", "name": "Supplier"}], "suppliers")
    options = {"include_sheets": ["products", "suppliers"], "include_fields": ["sku"]}
    written = bench.run("excel", options, query={"_id": {"$lt": 3}})
    book = openpyxl.load_workbook(io.BytesIO(bench.file))
    assert {sheet.title: list(sheet.values) for sheet in book.worksheets} == {
        "products": [("sku",), ("S0",), ("S1",)],
        "products (2)": [("sku",), ("S2",)],
        "suppliers": [("id", "name"), ("s", "Supplier")],
    }
    assert written.records == {"products": 3, "suppliers": 1}
    assert (bench.progress.total, bench.progress.processed) == (4, 4)


# Reading


def test_a_filter_on_an_indexed_field_reads_only_matching_documents(bench: Bench) -> None:
    bench.fill(plain(5 * BATCH))
    bench.products.create_index([("sku", 1)])
    database = bench.products.database
    database.command("profile", 2)
    bench.run(query={"sku": {"$in": ["S7", "S4000"]}}, last=("id", "sku"))
    database.command("profile", 0)
    assert [row[0] for row in bench.table[1:]] == ["4000", "7"]  # in the order of the index
    [find] = database["system.profile"].find({"op": "query", "command.find": "products"})
    assert find["docsExamined"] == 2


def test_a_catalogue_may_be_a_view(bench: Bench) -> None:
    bench.fill([{"_id": n, "sku": f"S{n}", "cost": 1} for n in reversed(range(2 * BATCH))], "everything")
    bench.products.database.command(
        {"create": "products", "viewOn": "everything", "pipeline": [{"$project": {"cost": 0}}]}
    )
    written = bench.run()
    assert bench.table == [["id", "sku"], *([str(n), f"S{n}"] for n in reversed(range(2 * BATCH)))]
    assert written.records == {"products": 2 * BATCH}


# Widths


def test_widths_fit_the_longest_cell_of_all_rows(bench: Bench) -> None:
    bench.fill([*plain(2 * BATCH), {"_id": 2 * BATCH, "sku": "S" * 33}])
    written = bench.run("excel")
    assert written.widths == {"products": {"id": 8, "sku": 40}}
    sheet = openpyxl.load_workbook(io.BytesIO(bench.file))["products"]
    assert [sheet.column_dimensions[letter].width for letter in "AB"] == [8, 40]
    assert bench.finds.count == 2  # one to determine the header, one to write


@pytest.mark.parametrize(("known", "passes"), [({"id": 8, "sku": 12}, 1), ({"id": 8, "sku": 30}, 2)])
def test_the_widths_of_the_last_export_save_a_pass_if_they_still_fit(
    bench: Bench, known: dict[str, int], passes: int
) -> None:
    bench.fill([*plain(20), {"_id": 20, "sku": "S" * 9}])
    fresh = bench.run("excel")
    file = bench.file
    written = bench.run("excel", last=("id", "sku"), widths=known)
    assert bench.finds.count == passes
    assert bench.file == file
    assert written == fresh


def test_a_column_without_a_cell_is_as_wide_as_its_name(bench: Bench) -> None:
    bench.fill(plain(3))
    names = ("id", "a_name_of_twenty_signs")
    bench.run("excel", {"include_fields": list(names)}, order=("id", "sku"), last=("id",), widths={"id": 8})
    assert bench.finds.count == 2  # one for the rows, one for the similar names in the warning
    sheet = openpyxl.load_workbook(io.BytesIO(bench.file))["products"]
    assert [sheet.column_dimensions[letter].width for letter in "AB"] == [8, 25]


# Types


def test_types_hold_the_values_of_all_rows(bench: Bench) -> None:
    bench.fill([*plain(2 * BATCH), {"_id": 2 * BATCH, "sku": 5, "late": 1.5}])
    written = bench.run("parquet")
    assert written.types == {"products": {"id": "int64", "sku": "text", "late": "double"}}
    table = pyarrow.parquet.read_table(io.BytesIO(bench.file))
    assert table.num_rows == written.records["products"] == 2 * BATCH + 1
    assert table.slice(2 * BATCH).to_pylist() == [{"id": 2 * BATCH, "sku": "5", "late": 1.5}]


def test_a_value_that_does_not_fit_the_type_of_the_first_rows_widens_it(bench: Bench) -> None:
    bench.fill([*({"_id": n, "price": 1, "pad": "x" * 9_000} for n in range(2_000)), {"_id": 2_000, "price": "dear"}])
    written = bench.run("parquet")
    assert written.types == {"products": {"id": "int64", "price": "text", "pad": "text"}}
    assert bench.finds.count == 3  # one that stops, one to determine the types, one to write
    assert pyarrow.parquet.read_table(io.BytesIO(bench.file))["price"].to_pylist() == ["1"] * 2_000 + ["dear"]


@pytest.mark.parametrize(
    ("known", "passes"),
    [({"id": "int64", "sku": "text"}, 1), ({"id": "double", "sku": "text"}, 2), ({"id": "bool", "sku": "text"}, 3)],
)
def test_the_types_of_the_last_export_save_a_pass_if_they_still_fit(
    bench: Bench, known: dict[str, str], passes: int
) -> None:
    bench.fill(plain(20))
    fresh = bench.run("parquet")
    file = bench.file
    written = bench.run("parquet", last=("id", "sku"), types=known)
    assert bench.finds.count == passes
    assert bench.file == file
    assert written == fresh


# Progress and cancellation


def test_progress_is_reported_while_the_file_is_written(bench: Bench) -> None:
    bench.fill(plain(3 * BATCH))
    seen: list[tuple[Stage, int, int | None]] = []

    def look() -> None:
        seen.append((bench.progress.stage, bench.progress.processed, bench.progress.total))

    bench.run(last=("id", "sku"), query={"_id": {"$gte": 10}}, at_write=(3, look))
    total = 3 * BATCH - 10
    assert seen[0][0] == Stage.READING
    assert BATCH <= seen[0][1] <= total
    assert seen[0][2] == total
    assert (bench.progress.stage, bench.progress.processed, bench.progress.total) == (Stage.FINALIZING, total, total)


def test_a_stop_ends_all_threads_and_leaves_no_file(bench: Bench) -> None:
    bench.fill(long(16 * BATCH))
    with pytest.raises(Stopped):
        bench.run(last=("id", "text"), at_write=(2, bench.stop.set))
    assert bench.progress.processed < 16 * BATCH
    assert bench.left() == []
    eventually("the threads have ended", lambda: not [t for t in threading.enumerate() if t.name.startswith("export-")])


def test_a_stop_is_noticed_while_mongod_does_not_answer(bench: Bench, mongod: Mongod, batches_on_request: None) -> None:
    bench.fill(long(16 * BATCH))
    pid = mongod.pid
    assert pid is not None

    def freeze() -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.5, bench.stop.set).start()

    try:
        with pytest.raises(Stopped):
            bench.run(last=("id", "text"), at_write=(2, freeze))
        assert bench.left() == []
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stop_ends_the_query_in_mongod(bench: Bench) -> None:
    bench.fill(plain(5_000))
    slow = {"$where": "function() { sleep(50); return false; }"}  # takes minutes
    namespace = f"{bench.products.database.name}.products"

    def running() -> list[Document]:
        stages: list[Document] = [{"$currentOp": {}}, {"$match": {"ns": namespace, "command.find": "products"}}]
        admin = bench.client.get_database("admin", read_concern=ReadConcern("local"))
        return list(admin.aggregate(stages))

    def stop() -> None:
        try:
            eventually("the query runs", running)
        finally:
            bench.stop.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Stopped):
        bench.run(last=("id", "sku"), query=slow)
    stopper.join()
    eventually("the query has ended", lambda: not running())
    eventually("the threads have ended", lambda: not [t for t in threading.enumerate() if t.name.startswith("export-")])


def test_a_stop_is_noticed_while_columns_are_determined(bench: Bench) -> None:
    bench.fill(plain(1))
    bench.stop.set()
    with pytest.raises(Stopped):
        bench.run()
    assert bench.opened == 0


def test_after_a_stop_a_complete_file_is_not_committed(bench: Bench) -> None:
    bench.fill(plain(1))
    with pytest.raises(Stopped):
        bench.run(last=("id", "sku"), at_write=(2, bench.stop.set))
    assert bench.left() == []


# Faults


@pytest.fixture
def forgetful(client: MongoClient[Document]) -> Iterator[Callable[[], None]]:
    """Makes MongoDB discard all snapshots that are open; it keeps later ones as before."""
    window = "minSnapshotHistoryWindowInSeconds"
    before = client.admin.command({"getParameter": 1, window: 1})[window]
    noise = client["tests"]["noise"]
    noise.insert_one({})

    def forget() -> None:
        with client.start_session(snapshot=True) as old:
            noise.find_one(session=old)
            client.admin.command({"setParameter": 1, window: 0})

            def is_forgotten() -> bool:
                noise.insert_one({})  # the oldest snapshot time advances with writes
                try:
                    noise.find_one(session=old)
                except OperationFailure as exc:
                    assert exc.code == SNAPSHOT_TOO_OLD
                    return True
                return False

            eventually("the snapshot is forgotten", is_forgotten)
            client.admin.command({"setParameter": 1, window: before})

    yield forget
    client.admin.command({"setParameter": 1, window: before})
    client.drop_database("tests")


def test_after_a_lost_snapshot_the_export_restarts_and_never_mixes_two(
    bench: Bench, forgetful: Callable[[], None], batches_on_request: None
) -> None:
    bench.fill([{**product, "version": 1} for product in long(16 * BATCH)])

    def change() -> None:
        bench.products.update_many({}, {"$set": {"version": 2}})
        forgetful()

    written = bench.run(last=("id", "text", "version"), at_write=(2, change))
    assert bench.opened == 2
    assert [(row[0], row[2]) for row in bench.table[1:]] == [(str(n), "2") for n in range(16 * BATCH)]
    assert written.records == {"products": 16 * BATCH}
    assert bench.left() == [bench.folder / KEY]


def test_snapshots_that_are_lost_repeatedly_are_a_transient_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Mock(side_effect=catalogue.SnapshotLost)
    monkeypatch.setattr(catalogue.Snapshot, "batches", lost)
    with pytest.raises(JobFault) as fault:
        bench.run()
    assert (fault.value.code, fault.value.transient) == ("snapshot_too_old", True)
    assert lost.call_count == 3


def test_a_catalogue_that_does_not_answer_is_a_transient_fault(bench: Bench) -> None:
    with connect_sync(f"mongodb://127.0.0.1:{free_port()}", app="tests", selection_ms=100) as nobody:
        away = Bench(nobody, bench.folder, bench.finds)
        with pytest.raises(JobFault) as fault:
            away.run()
    assert (fault.value.code, fault.value.transient) == ("catalogue_unavailable", True)


def test_a_query_that_mongodb_rejects_is_not_a_transient_fault(bench: Bench) -> None:
    bench.fill(plain(1))
    with pytest.raises(JobFault) as fault:
        bench.run(query={"$nonsense": 1})
    assert (fault.value.code, fault.value.transient) == ("catalogue_error", False)


def test_a_full_store_is_a_transient_fault_and_leaves_no_file(bench: Bench) -> None:
    bench.fill([{"_id": n, "text": "x" * 1_000} for n in range(2 * BATCH)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # for this process: the kernel refuses more
    try:
        with pytest.raises(JobFault) as fault:
            bench.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (fault.value.code, fault.value.transient) == ("artifact_store_full", True)
    assert bench.left() == []


def test_an_unusable_store_is_a_transient_fault(bench: Bench) -> None:
    (bench.folder / "t").write_text("a file where the tenant's folder should be")
    with pytest.raises(JobFault) as fault:
        bench.run()
    assert (fault.value.code, fault.value.transient) == ("artifact_store_unavailable", True)


# Warnings


def test_an_ordinary_export_has_no_warning(bench: Bench) -> None:
    bench.fill(plain(1))
    for form in formats():
        assert bench.run(form, {"include_fields": ["sku"]}, query={"_id": 0}).warnings == ()


@pytest.mark.parametrize("form", formats())
def test_the_warning_about_an_unknown_field_has_similar_names_even_in_a_first_export(bench: Bench, form: str) -> None:
    bench.fill([{"_id": 1, "attributes": {"color": "black"}, "price": 5}])
    written = bench.run(form, {"include_fields": ["color", "price", "prize"]})
    assert codes(written) == ["unknown_field", "unknown_field"]
    assert "'color'; similar names: attributes.color." in written.warnings[0].message
    assert "'prize'; similar names: price." in written.warnings[1].message


def test_columns_of_earlier_exports_that_no_longer_exist_are_not_similar_names(bench: Bench) -> None:
    bench.fill(
        [{"_id": 1, "price": 5}, *({"_id": number} for number in range(2, BATCH + 2)), {"_id": BATCH + 2, "cote": 1}]
    )
    written = bench.run(options={"include_fields": ["price", "cots"]}, order=("id", "cost", "cots", "price"))
    assert written.warnings[0].message.endswith("'cots'; similar names: cote.")


def test_fields_are_not_called_unknown_when_no_product_matched(bench: Bench) -> None:
    bench.fill([{"_id": 1, "price": 5}])
    written = bench.run(options={"include_fields": ["price", "cots"]}, query={"_id": 7})
    assert codes(written) == ["no_match"]


def test_a_workbook_with_only_suppliers_has_no_warnings_about_products(bench: Bench) -> None:
    bench.fill([{"_id": "s", "name": "x" * 40_000}], "suppliers")
    options = {"include_sheets": ["suppliers"], "include_fields": ["sku"]}
    assert codes(bench.run("excel", options, query={"sku": "none"})) == ["text_cut"]


def test_thousands_of_unknown_fields_are_summarized(bench: Bench) -> None:
    bench.fill(plain(1))
    written = bench.run(options={"include_fields": [f"nope_{n}" for n in range(3_000)]})
    assert codes(written) == ["unknown_field"] * 21
    assert written.warnings[-1].message == "2980 more of the requested fields exist in no exported product."
    assert len(bench.table[0]) == 3_000


def test_truncated_texts_are_counted_in_one_warning(bench: Bench) -> None:
    bench.fill([{"_id": 1, "a": "x" * 32_768, "b": ["🎉" * 20_000]}, {"_id": 2, "a": "x" * 32_767}])
    assert codes(bench.run("csv")) == []
    [warning] = bench.run("excel").warnings
    assert warning.code == "text_cut"
    assert warning.message.endswith(": 2.")


def test_there_is_a_warning_if_the_filters_match_nothing(bench: Bench) -> None:
    bench.fill(plain(1))
    assert codes(bench.run(query={"sku": "none"})) == ["no_match"]
    assert bench.table == [["id"]]
    assert codes(bench.run(query={"_id": ObjectId()}, options={"include_fields": ["sku"]})) == ["no_match"]
    assert bench.table == [["sku"]]
