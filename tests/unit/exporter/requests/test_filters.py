"""Which filters are accepted, how the others are refused, and that only the documented operators reach MongoDB."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.faults import BadRequest
from services.exporter.formats import formats
from services.exporter.requests.filters import (
    Condition,
    Filter,
    FilterError,
    check_values,
    fields,
    misread,
    parse_filter,
    paths,
    to_query,
)
from services.exporter.requests.request import check_request

ALLOWED = {"$and", "$or", "$nor", "$in", "$eq", "$gt", "$gte", "$lt", "$lte", "$not", "$type", "$exists", "$regex"}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def problems(raw: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    with pytest.raises(FilterError) as refused:
        parse_filter(raw)
    return tuple(refused.value.problems)


def test_a_plain_value_means_equality_and_each_operator_is_a_condition() -> None:
    wanted = parse_filter({"sku": "A", "price": {"gte": 1, "lt": Decimal("2.5")}, "size": {"in": ["S", None]}})
    assert wanted.conditions == (
        Condition("sku", "eq", ("A",)),
        Condition("price", "gte", (1,)),
        Condition("price", "lt", (Decimal("2.5"),)),
        Condition("size", "in", ("S", None)),
    )
    assert fields(wanted) == ("sku", "price", "size")


def test_without_filters_the_query_is_empty() -> None:
    assert parse_filter({}) == Filter()
    assert to_query(Filter()) == {}


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"$where": "sleep(1000)"}, "filters.$where", "$"),
        ({"a.$b": 1}, "filters.a.$b", "begin with $"),
        ({"price": {"$gt": 1}}, "filters.price", "did you mean gt"),
        ({"price": {"GT": 1}}, "filters.price", "did you mean gt"),
        ({"sku": {"regex": "^a"}}, "filters.sku", "is not an operator"),
        ({"attributes": {"color": "Black"}}, "filters.attributes", "attributes.color"),
        ({"a": nested(50)}, "filters.a", "is not an operator"),
        ({"a": {"eq": nested(50)}}, "filters.a", "not an object"),
        ({"a": {}}, "filters.a", "needs a value"),
        ({"a": ["x"]}, "filters.a", '{"in": [...]}'),
        ({"a": {"in": "x"}}, "filters.a", "list of one or more"),
        ({"a": {"nin": []}}, "filters.a", "list of one or more"),
        ({"a": {"in": [["x"]]}}, "filters.a", "takes no list"),
        ({"a": {"in": [{"b": 1}]}}, "filters.a", "not an object"),
        ({"a": {"in": ["x"] * 10_000}}, "filters.a", "10,000 values, at most 1,000"),
        ({"a": {"exists": "true"}}, "filters.a", "true or false"),
        ({"a": {"exists": 1}}, "filters.a", "true or false"),
        ({"a": {"contains": 5}}, "filters.a", "takes text"),
        ({"a": {"starts_with": "x" * 1_001}}, "filters.a", "1,001 characters"),
        ({"a": {"gt": None}}, "filters.a", "gt takes"),
        ({"a": {"lte": True}}, "filters.a", "lte takes"),
        ({"a": {"gt": [1]}}, "filters.a", "takes no list"),
        ({"a": 10**34 + 1}, "filters.a", "34 digits"),
        ({"a": Decimal("1E+6145")}, "filters.a", "34 digits"),
        ({"a": Decimal("1E+999999999")}, "filters.a", "34 digits"),
        ({"a": "\ud800"}, "filters.a", "surrogate"),
        ({"a": {"contains": "\ud800"}}, "filters.a", "surrogate"),
        ({"a\ud800": 1}, "filters.a?", "is not a field name"),
        ({"": 1}, "filters.", "is not a field name"),
        ({"a..b": 1}, "filters.a..b", "is not a field name"),
        ({"a\0": 1}, "filters.a\0", "is not a field name"),
        ({"a\\.b": 1}, "filters.a\\.b", "contains a dot"),
        ({"a" * 1_025: 1}, "filters.aaa", "1,025 characters"),
        ({".".join("a" * 101): 1}, "filters.a.a", "101 parts"),
        ({f"f{n}": 1 for n in range(51)}, "filters", "51 conditions, at most 50"),
        ({f"f{n}": {"gt": 1, "lt": 5} for n in range(26)}, "filters", "52 conditions"),
    ],
)
def test_an_invalid_filter_is_refused_with_field_and_reason(raw: dict[str, Any], field: str, words: str) -> None:
    ((where, what),) = problems(raw)
    assert where.startswith(field)
    assert words in what
    assert len(where) + len(what) < 600
    where.encode()
    what.encode()


def test_up_to_twenty_wrong_fields_are_reported() -> None:
    assert [where for where, _ in problems({"a": {}, "b": 1, "$c": 1})] == ["filters.a", "filters.$c"]
    assert len(problems({f"f{n}": {} for n in range(40)})) == 20


def test_a_number_with_an_excessive_exponent_is_invalid_json() -> None:
    with pytest.raises(BadRequest, match="exponent"):
        check_request(formats(), "csv", '{"filters": {"price": 1e99999999999999999999}}')


def test_a_refused_request_names_the_wrong_filter() -> None:
    with pytest.raises(BadRequest) as refused:
        check_request(formats(), "csv", '{"filters": {"price": {"$gt": 1}}}')
    assert [violation.field for violation in refused.value.violations] == ["filters.price"]


def test_id_stands_for_both_of_its_paths() -> None:
    assert paths("id") == ("id", "_id")
    assert paths("id.a") == ("id.a", "_id.a")
    assert paths("_id") == ("_id",)
    assert paths("ids") == ("ids",)
    assert paths("a\\\\.b") == ("a\\.b",)


def operators(query: Any) -> Iterator[str]:
    """Every key of a query that MongoDB treats as an operator."""
    if isinstance(query, dict):
        for key, value in query.items():
            if key.startswith("$"):
                yield key
            yield from operators(value)
    elif isinstance(query, list):
        for item in query:
            yield from operators(item)


WORDS = [
    "$where",
    "$gt",
    "a",
    "a.b",
    "id",
    "$expr",
    "$regex",
    "eq",
    "ne",
    "gt",
    "lte",
    "in",
    "nin",
    "exists",
    "contains",
]
TEXTS = st.sampled_from([*WORDS, "starts_with", "2026-03-15", "12.1", "{}", "\ud800"]) | st.text(max_size=8)
PLAIN = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@settings(deadline=None)
@given(st.dictionaries(TEXTS, JSON, max_size=4))
def test_any_input_is_refused_or_becomes_a_query_with_known_operators(raw: dict[str, Any]) -> None:
    try:
        wanted = parse_filter(raw)
    except FilterError as exc:
        assert exc.problems
        return
    query = to_query(wanted)
    assert set(operators(query)) <= ALLOWED
    assert bool(query) == bool(raw)
    bson.encode(query)


NUMBERS = frozenset({"int", "double", "null"})
DATES = frozenset({"date"})
TEXT = frozenset({"string"})


@pytest.mark.parametrize(
    ("condition", "kinds", "words"),
    [
        ({"gte": "2026-13-45"}, DATES, "2026-03-15"),
        ("soon", DATES, "dates"),
        (5, DATES, "dates"),
        ({"in": [1, "12.5", "x"]}, NUMBERS, "'x'"),
        (True, NUMBERS, "numbers"),
        ("yes", frozenset({"bool"}), "true or false"),
        ({"gt": 5}, TEXT, "in quotes"),
        ({"contains": "5"}, NUMBERS, "contains searches text"),
        ("xyz", frozenset({"objectId"}), "24 hexadecimal digits"),
        ({"gt": "00112233-4455-6677-8899-aabbccddeeff"}, frozenset({"binData"}), "UUIDs"),
        ("x", frozenset({"object"}), "field below"),
        ("x", frozenset({"timestamp"}), "only exists"),
        ("x", frozenset({"int", "date"}), "numbers and dates"),
    ],
)
def test_a_value_that_fits_no_type_of_the_field_is_refused(condition: Any, kinds: frozenset[str], words: str) -> None:
    with pytest.raises(FilterError) as refused:
        check_values(parse_filter({"a": condition, "b": 1}), {"a": kinds})
    ((where, what),) = refused.value.problems
    assert where == "filters.a"
    assert words in what


@pytest.mark.parametrize(
    ("condition", "kinds"),
    [
        ("2026-03-15", DATES),
        ("2026-03-15t09:00:00.123456789+14:00", DATES),
        ({"in": ["52.0", 1, None, Decimal("1.5")]}, NUMBERS),
        ("x", NUMBERS | TEXT),
        (52, TEXT),
        (True, TEXT),
        ({"gt": "5"}, TEXT),
        (None, DATES),
        ({"exists": True}, frozenset({"object"})),
        ("anything", frozenset()),
        ("anything", frozenset({"null", "missing"})),
        ({"starts_with": "1"}, NUMBERS | TEXT),
        ("00112233-4455-6677-8899-AABBCCDDEEFF", frozenset({"binData"})),
    ],
)
def test_a_value_that_fits_a_type_of_the_field_is_accepted(condition: Any, kinds: frozenset[str]) -> None:
    wanted = parse_filter({"a": condition})
    check_values(wanted, {"a": kinds})
    assert misread(wanted, {"a": kinds}) == ()
