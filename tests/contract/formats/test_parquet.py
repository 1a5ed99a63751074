"""Parquet files: types, values as pyarrow and DuckDB read them, row groups, and bytes."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import bson
import pyarrow.parquet
import pytest
from bson import Decimal128, Int64
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from services.exporter.catalogue.columns import Selection
from services.exporter.formats import formats, parquet
from services.exporter.formats.contract import Sheet
from services.exporter.transcode import Tally, UnforeseenColumn
from services.exporter.transcode.column_types import Needs
from services.exporter.transcode.values import CODEC
from tests.contract.bson_documents import DOCUMENTS, VALUES
from tests.contract.formats import rules
from tests.contract.formats.readers import duckdb_rows, parquet_table

Documents = Sequence[dict[str, Any]]
FORM = formats()["parquet"]
OPTIONS = FORM.Options()


def encoded(documents: Documents, types: dict[str, str], size: int = 2) -> tuple[bytes, Tally]:
    header = rules.columns(documents, None, ()) or ["id"]
    batches: Iterator[bytes] = (
        b"".join(map(bson.encode, documents[at : at + size])) for at in range(0, len(documents), size)
    )
    tally = Tally()
    sheet = Sheet("products", header, Selection(), batches, types=types)
    return b"".join(FORM.encode([sheet], OPTIONS, tally)), tally


def final(documents: Documents, size: int = 2) -> tuple[bytes, dict[str, str]]:
    """A file with the types that its documents need, as an attempt makes it."""
    _, tally = encoded(documents, {})
    types = tally.types["products"]
    file, again = encoded(documents, types, size)
    assert again.types["products"] == types
    return file, types


def needed(values: Sequence[Any]) -> str:
    needs = Needs()
    needs.note(bson.decode(bson.encode({"values": values}), CODEC)["values"])
    return needs.type()


AT = datetime(2026, 3, 15, 9, 0, 0, 120_000)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "text"),
        ([None], "text"),
        ([1, Int64(2**62), None], "int64"),
        ([1, 1.5], "double"),
        ([Int64(2**53 + 1), 1.5], "text"),
        ([True, False], "bool"),
        ([True, 1], "text"),
        ([Decimal128("12.10"), Decimal128("1E+3"), 5], "decimal(18,2)"),
        ([Decimal128("12.10"), Int64(2**62)], "decimal(38,2)"),
        ([Decimal128("1E+30"), Decimal128("0.000000001")], "text"),
        ([Decimal128("12.10"), 1.5], "double"),
        ([Decimal128("1234567890.1234567"), 1.5], "text"),
        ([Decimal128("NaN")], "text"),
        ([float("nan")], "double"),
        ([AT], "timestamp"),
        ([DatetimeMS(2**60)], "text"),
        (["a", 1], "text"),
        ([["a"], []], "list<text>"),
        ([[1], [2.5, None]], "list<double>"),
        ([[Decimal128("1.5")]], "list<decimal(18,1)>"),
        ([[{"a": 1}], [[1]]], "list<text>"),
        ([[1], 1], "text"),
        ([{}], "text"),
    ],
)
def test_a_type_holds_all_values_of_a_column(values: Sequence[Any], expected: str) -> None:
    assert needed(values) == expected
    documents = [{"_id": n, "a": value} for n, value in enumerate(values)] or [{"_id": 0, "a": None}]
    _, types = final(documents)
    assert types["a"] == expected


def test_values_are_read_back_with_their_types() -> None:
    documents = [
        {
            "_id": 1,
            "price": Decimal128("12.10"),
            "weight": 1.5,
            "stock": 5,
            "at": AT,
            "on": True,
            "tags": ["a", "b"],
            "sizes": [1, None],
            "mixed": 1,
            "a": {"b": "x"},
            "objects": [{"x": Decimal128("1.20")}],
        },
        {"_id": 2, "price": 3, "weight": 2, "mixed": "é|", "tags": [], "a": {}, "stock": None, "on": None},
    ]
    file, types = final(documents)
    expected = [
        {
            "id": 1,
            "price": Decimal("12.10"),
            "weight": 1.5,
            "stock": 5,
            "at": AT.replace(tzinfo=UTC),
            "on": True,
            "tags": ["a", "b"],
            "sizes": [1, None],
            "mixed": "1",
            "a.b": "x",
            "objects": ['{"x":1.20}'],
        },
        {
            **dict.fromkeys(["stock", "at", "on", "sizes", "a.b", "objects"]),
            "id": 2,
            "price": Decimal("3.00"),
            "weight": 2.0,
            "mixed": "é|",
            "tags": [],
        },
    ]
    table = parquet_table(file)
    assert table.to_pylist() == expected
    assert table.schema.field("at").type == pyarrow.timestamp("ms", tz="UTC")
    assert table.schema.field("price").type == pyarrow.decimal128(18, 2)
    assert table.schema.field("sizes").type.value_type == pyarrow.int64()
    assert duckdb_rows(file) == expected
    assert types["mixed"] == "text"


@given(documents=st.lists(DOCUMENTS, max_size=4))
def test_any_documents_are_read_back(documents: Documents) -> None:
    file, types = final(documents)
    names = rules.columns(documents, None, ()) or ["id"]
    written = [rules.written(document, names) for document in documents]
    expected = [[value_of(row.get(name), types[name]) for name in names] for row in written]
    table = parquet_table(file)
    assert table.column_names == names
    columns = table.to_pydict() if len(names) else {}
    found = [list(row) for row in zip(*(columns[name] for name in names), strict=True)]
    assert repr(found) == repr(expected)  # NaN is not equal to itself


def value_of(value: Any, column: str) -> Any:
    """What pyarrow finds for a value in a column of this type."""
    if value is None:
        return None
    if column.startswith("list<"):
        return [value_of(item, column[5:-1]) for item in value]
    if column == "text":
        return rules.cell(value)
    if column == "double":
        return float(str(value))
    if column == "timestamp":
        return value.replace(tzinfo=ZoneInfo("UTC"), microsecond=value.microsecond // 1000 * 1000)
    if column.startswith("decimal"):
        scale = int(column.partition(",")[2].rstrip(")"))
        return Decimal(f"{Decimal(str(value)):.{scale}f}").quantize(Decimal(1).scaleb(-scale))
    return int(value) if column == "int64" else value


@given(values=st.lists(VALUES, max_size=6), data=st.data())
def test_a_type_that_holds_all_values_holds_any_of_them(values: list[Any], data: st.DataObject) -> None:
    whole, part = Needs(), Needs()
    decoded = bson.decode(bson.encode({"values": values}), CODEC)["values"]
    whole.note(decoded)
    part.note(data.draw(st.lists(st.sampled_from(decoded))) if decoded else [])
    assert whole.fit(whole.type())
    assert part.fit(whole.type())


@pytest.mark.parametrize(
    ("narrow", "value"),
    [("int64", 1.5), ("decimal(18,1)", Decimal128("1.25")), ("bool", "x"), ("list<int64>", ["a"]), ("timestamp", 1)],
)
def test_a_value_that_does_not_fit_stops_the_file(narrow: str, value: Any) -> None:
    with pytest.raises(UnforeseenColumn) as refused:
        encoded([{"_id": 1, "a": value}], {"id": "int64", "a": narrow})
    assert refused.value.name == "a"


def test_neither_batches_nor_runs_change_the_bytes_and_row_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_GROUP_ROWS", 7)
    documents = [{"_id": n, "name": f"n{n % 5}", "text": "x" * n} for n in range(40)]
    first, _ = final(documents, 1)
    assert all(final(documents, size)[0] == first for size in (2, 9, 40))
    stored = pyarrow.parquet.ParquetFile(io.BytesIO(first)).metadata
    assert [stored.row_group(n).num_rows for n in range(stored.num_row_groups)] == [7, 7, 7, 7, 7, 5]
    monkeypatch.setattr(parquet, "MAX_GROUP_ROWS", 1_000)
    monkeypatch.setattr(parquet, "MAX_GROUP_BYTES", 200)
    by_bytes, _ = final(documents, 1)
    assert all(final(documents, size)[0] == by_bytes for size in (3, 40))
    stored = pyarrow.parquet.ParquetFile(io.BytesIO(by_bytes)).metadata
    assert stored.num_row_groups > 5
    assert stored.num_rows == 40


def test_a_file_without_products_has_its_columns() -> None:
    file, _ = final([])
    assert parquet_table(file).column_names == ["id"]
    assert duckdb_rows(file) == []
