"""The demo's rules of what a file must hold: each accepts what docs/values.md says, and nothing merely close."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64

from deploy.local.demo.checks.rules import is_in_excel, is_in_json, is_in_parquet, is_in_text, is_in_xml, leaves

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)
MILLIS = AT.replace(microsecond=120_000)
OLD = datetime(1854, 9, 1, tzinfo=UTC)
TEXTS: list[tuple[Any, str]] = [
    (None, ""),
    (True, "true"),
    (False, "false"),
    (52.0, "52.0"),
    (Int64(2**62), "4611686018427387904"),
    (Decimal128("12.10"), "12.10"),
    (Decimal128("1E-7"), "1E-7"),
    (AT, "2026-03-15T09:00:00Z"),
    (MILLIS, "2026-03-15T09:00:00.120Z"),
    ("0012", "0012"),
    ([], ""),
    (["a", "b"], "a|b"),
    (["a|b", "c"], '["a|b","c"]'),
    ([{"n": 1, "t": "ü"}], '[{"n":1,"t":"ü"}]'),
    ({}, "{}"),
]
EXCEL: list[tuple[Any, Any, Any]] = [
    (True, True, 1.0),
    (12, 12.0, "12"),
    (Int64(2**62), "4611686018427387904", float(2**62)),
    (10**15, "1000000000000000", 1e15),
    (Decimal128("12.10"), 12.1, "12.10"),
    (Decimal128("1234567890.1234567"), "1234567890.1234567", 1234567890.1234567),
    (0.1, 0.1, "0.1"),
    ("0012", "0012", 12.0),
    ("=1+1", "=1+1", 2.0),
    (MILLIS, MILLIS.replace(tzinfo=None), AT.replace(tzinfo=None)),
    (OLD, "1854-09-01T00:00:00Z", OLD.replace(tzinfo=None)),
    (None, "", "None"),
]
JSON: list[tuple[Any, Any, Any]] = [
    (True, True, 1),
    (1, 1, True),
    (12, 12, Decimal("12.0")),
    (Int64(2**62), 2**62, "4611686018427387904"),
    (52.0, Decimal("52.0"), 52),
    (Decimal128("12.10"), Decimal("12.10"), Decimal("12.1")),
    (Decimal128("12"), 12, "12"),
    (AT, "2026-03-15T09:00:00Z", "2026-03-15T09:00:00.000Z"),
    (None, None, ""),
    (["a", 1], ["a", 1], ["a"]),
    ({}, {}, None),
    ([{"a": 1, "b": 2}], [{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
]


@pytest.mark.parametrize(("value", "text"), TEXTS)
def test_a_csv_cell_has_exactly_its_text(value: Any, text: str) -> None:
    assert is_in_text(value, text)
    assert not is_in_text(value, f"{text} ")


@pytest.mark.parametrize(("value", "right", "wrong"), EXCEL)
def test_an_excel_cell_has_its_value_and_its_type(value: Any, right: Any, wrong: Any) -> None:
    assert is_in_excel(value, right)
    assert not is_in_excel(value, wrong)


@pytest.mark.parametrize(("value", "right", "wrong"), JSON)
def test_a_json_value_has_its_digits_its_type_and_its_order(value: Any, right: Any, wrong: Any) -> None:
    assert is_in_json(value, right)
    assert not is_in_json(value, wrong)


@pytest.mark.parametrize(
    ("value", "right", "wrong"),
    [
        (None, "", None),
        ({}, "", {}),
        ([], "", []),
        (1.5, "1.5", 1.5),
        ([None, {"a": 1}], ["", {"a": "1"}], ["", {"a": "2"}]),
        ({"a": 1, "b": 2}, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}),
    ],
)
def test_an_element_of_xml_has_its_text_and_its_nesting(value: Any, right: Any, wrong: Any) -> None:
    assert is_in_xml(value, right)
    assert not is_in_xml(value, wrong)


@pytest.mark.parametrize(
    ("value", "right", "wrong"),
    [
        (None, None, ""),
        (True, True, 1),
        (5, 5.0, 6),
        (Decimal128("12.10"), Decimal("12.1000"), Decimal("12.11")),
        (1.5, "1.5", "2"),
        (AT, AT, MILLIS),
        (["a", None], ["a", None], ["a"]),
    ],
)
def test_a_cell_of_parquet_has_its_value_and_a_type_that_holds_it(value: Any, right: Any, wrong: Any) -> None:
    assert is_in_parquet(value, right)
    assert not is_in_parquet(value, wrong)


def test_leaves_are_dotted_and_the_key_is_called_id() -> None:
    document = {"_id": "1", "a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 1}]}
    assert leaves(document) == {"id": "1", "a.b.c": 1, "a.d": {}, "e": [{"f": 1}]}
