"""MongoDB finds what docs/values.md specifies for a filter."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from services.exporter.requests.filters import parse_filter, to_query
from services.exporter.transcode.values import CODEC
from tests.integration.exporter.filter_rules import matches

Products = Collection[dict[str, Any]]
AN_OBJECT_ID = ObjectId("65f2f0a0a0a0a0a0a0a0a0a0")
A_UUID = bytes.fromhex("00112233445566778899aabbccddeeff")
NOON = datetime(2026, 3, 15, 12, 0, 0, 123_000, UTC)

EVERY_TYPE: dict[str, Any] = {
    "text": "52",
    "text with a fraction": "52.0",
    "text that is true": "true",
    "text that is a date": "2026-03-15",
    "text with regex characters": ".*",
    "text of two lines": "one\ntwo\0three",
    "int": 52,
    "long": Int64(2**53 + 1),
    "double": 12.1,
    "double of a whole number": 52.0,
    "double of a long": float(2**53),
    "zero": 0.0,
    "decimal": Decimal128("12.10"),
    "decimal of 34 digits": Decimal128("12.09999999999999999999999999999999"),
    "true": True,
    "false": False,
    "date": datetime(2026, 3, 15, tzinfo=UTC),
    "time": NOON,
    "far date": DatetimeMS(10**15),
    "object id": AN_OBJECT_ID,
    "UUID": Binary(A_UUID, 4),
    "old UUID": Binary(A_UUID, 3),
    "bytes": Binary(A_UUID, 0),
    "null": None,
    "NaN": float("nan"),
    "decimal NaN": Decimal128("NaN"),
    "Infinity": float("inf"),
    "timestamp": Timestamp(1, 2),
    "regex": Regex("^a"),
    "code": Code("f()"),
    "min key": MinKey(),
    "max key": MaxKey(),
    "object": {"b": 1},
    "empty object": {},
    "list": [52, "red", 12.1],
    "list of dates": [NOON],
    "list of lists": [[52]],
    "list of objects": [{"b": 52}, {"c": 1}],
    "empty list": [],
}


TEXTS_AFTER_2026 = {"text", "text with a fraction", "text that is true", "text of two lines", "list"}


@pytest.fixture(scope="module")
def products(mongo_uri: str) -> Iterator[Products]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client["catalogue_filters"].get_collection("products", codec_options=CODEC)
        client.drop_database("catalogue_filters")


@pytest.fixture(scope="module")
def one_of_each(mongo_uri: str) -> Iterator[Products]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        found = client["catalogue_types"].get_collection("products", codec_options=CODEC)
        found.insert_many([{"_id": name, "a": value} for name, value in EVERY_TYPE.items()] + [{"_id": "missing"}])
        yield found
        client.drop_database("catalogue_types")


def found_by(products: Products, filters: dict[str, Any]) -> list[Any]:
    """The ids of the documents that MongoDB finds."""
    query = to_query(parse_filter(filters))
    return [document["_id"] for document in products.find(query, {"_id": 1}, sort=[("_id", 1)])]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (52, {"text", "int", "double of a whole number", "list"}),
        ("52", {"text", "int", "double of a whole number", "list"}),
        ("52.0", {"text with a fraction", "int", "double of a whole number", "list"}),
        (Decimal("52.0"), {"text with a fraction", "int", "double of a whole number", "list"}),
        (Decimal("12.1"), {"double", "decimal", "list"}),
        (2**53 + 1, {"long"}),
        (str(2**53), {"double of a long"}),
        (Decimal("1E-400"), set()),
        (True, {"true", "text that is true"}),
        ("true", {"true", "text that is true"}),
        (False, {"false"}),
        ("2026-03-15", {"text that is a date", "date"}),
        ("2026-03-15T13:00:00.123+01:00", {"time", "list of dates"}),
        ("2026-03-15T12:00:00.1234Z", set()),
        ("65F2F0A0A0A0A0A0A0A0A0A0", {"object id"}),
        ("00112233-4455-6677-8899-aabbccddeeff", {"UUID", "old UUID"}),
        ("00112233445566778899aabbccddeeff", {"UUID", "old UUID"}),
        (None, {"null", "missing"}),
        ("NaN", {"NaN", "decimal NaN"}),
        ("Infinity", {"Infinity"}),
        ({"in": ["red", "2026-03-15", None]}, {"list", "text that is a date", "date", "null", "missing"}),
        ({"gt": Decimal("12.1"), "lt": 52}, {"list"}),
        ({"gt": Decimal("12.1"), "lt": Decimal("52.5")}, {"int", "double of a whole number", "list"}),
        ({"gte": Decimal("12.1"), "lte": Decimal("12.1")}, {"double", "decimal", "list"}),
        ({"gte": 12, "lt": Decimal("12.1")}, {"decimal of 34 digits"}),
        ({"gt": 2**53}, {"long", "Infinity"}),
        ({"lt": "2026-03-15T00:00:00.0001Z", "gte": "2026-03-15T00:00:00Z"}, {"date"}),
        ({"gt": "2026-03-15T12:00:00.1229Z"}, {"time", "far date", "list of dates", *TEXTS_AFTER_2026}),
        ({"gt": "z"}, set()),
        ({"contains": ".*"}, {"text with regex characters"}),
        ({"contains": "two\0thr"}, {"text of two lines"}),
        ({"starts_with": "two"}, set()),
        ({"starts_with": "one\n"}, {"text of two lines"}),
        ({"contains": "RED"}, set()),
        ({"exists": False}, {"missing"}),
    ],
)
def test_a_value_is_compared_as_the_type_of_each_field(one_of_each: Products, condition: Any, names: set[str]) -> None:
    assert set(found_by(one_of_each, {"a": condition})) == names


@pytest.mark.parametrize("value", [52, "red", None, Decimal("12.1"), "2026-03-15", True])
def test_ne_and_nin_find_everything_that_eq_and_in_do_not_find(one_of_each: Products, value: Any) -> None:
    everything = {*EVERY_TYPE, "missing"}
    assert set(found_by(one_of_each, {"a": {"ne": value}})) == everything - set(found_by(one_of_each, {"a": value}))
    listed = set(found_by(one_of_each, {"a": {"in": [value, "x"]}}))
    assert set(found_by(one_of_each, {"a": {"nin": [value, "x"]}})) == everything - listed


def test_id_is_what_is_exported_as_id(products: Products) -> None:
    products.delete_many({})
    products.insert_many([{"_id": 1}, {"_id": 2, "id": 1}, {"_id": {"x": 5}}, {"_id": 3, "id": None}])
    assert found_by(products, {"id": 1}) == [1, 2]
    assert found_by(products, {"id": 2}) == []
    assert found_by(products, {"_id": 2}) == [2]
    assert found_by(products, {"id": None}) == [3]
    assert found_by(products, {"id": {"ne": 1}}) == [3, {"x": 5}]
    assert found_by(products, {"id.x": 5}) == [{"x": 5}]
    assert found_by(products, {"id": {"exists": False}}) == []


def test_the_elements_of_lists_are_compared_and_a_number_selects_one_of_them(products: Products) -> None:
    products.delete_many({})
    products.insert_many([{"_id": 1, "a": ["x", "y"]}, {"_id": 2, "a": [{"b": ["y", "z"]}]}, {"_id": 3, "a": "y"}])
    assert found_by(products, {"a": "y"}) == [1, 3]
    assert found_by(products, {"a.b": {"contains": "z"}}) == [2]
    assert found_by(products, {"a.1": "y"}) == [1]


def test_a_backslash_in_a_key_is_written_twice(products: Products) -> None:
    products.delete_many({})
    products.insert_many([{"_id": 1, "a\\": 5}, {"_id": 2, "a": 5}])
    assert found_by(products, {"a\\\\": 5}) == [1]


def test_a_thousand_values_of_every_type_fit_into_one_query(products: Products) -> None:
    values = [f"{n}.1" for n in range(1_000)]
    products.delete_many({})
    products.insert_many([{"_id": 1, "a": 999.1}, {"_id": 2, "a": Decimal128("7.10")}, {"_id": 3, "a": 0.5}])
    filters: dict[str, Any] = {f"f{n}": {"nin": values} for n in range(48)}
    assert found_by(products, {**filters, "a": {"in": values}, "id": {"nin": values}}) == [1, 2]


@pytest.mark.parametrize("character", ["x", ".", "\0", "\n", "🎉"])
def test_the_longest_search_text_works_with_any_character(products: Products, character: str) -> None:
    products.delete_many({})
    products.insert_many([{"_id": 1, "a": f"-{character * 1_000}-"}, {"_id": 2, "a": character * 999}])
    assert found_by(products, {"a": {"contains": character * 1_000}}) == [1]


# Numbers that only differ beyond the precision of a double, or are equal although written differently.
CLOSE = [12.1, 0.1, 0.3, 5.0, 2.0**53, 1e23, 1e308, 5e-324, -0.0, float("inf"), float("-inf"), float("nan")]
CLOSE += [52, Int64(5), Int64(2**53), Int64(2**53 + 1), Int64(-(2**63)), Int64(2**63 - 1)]
CLOSE_DECIMALS = [
    "12.1",
    "12.10",
    "0.1",
    "0.3",
    "5.0",
    "9007199254740992",
    "9007199254740993",
    "1E+23",
    "NaN",
    "-Infinity",
]
CLOSER_DECIMALS = ["12.09999999999999964472863211994990", "12.09999999999999999", "12.1000000000000000001"]
CLOSER_DECIMALS += ["0.1000000000000000055511151231257827", "0.1000000000000000000000001", "5.000000000000000000001"]
CLOSER_DECIMALS += ["4.999999999999999999999", "1E+400", "1E-400", "99999999999999991611392"]
DECIMALS = [Decimal128(text) for text in CLOSE_DECIMALS]
OTHERS: list[Any] = [
    None,
    True,
    False,
    "",
    "a",
    "A",
    "52",
    "52.0",
    "12.1",
    "true",
    "NaN",
    ".*",
    "ab\n",
    "\0",
    "ü",
    "2026-03-15",
]
OTHERS += [NOON, datetime(2026, 3, 15, tzinfo=UTC), DatetimeMS(10**15), DatetimeMS(-(10**15)), AN_OBJECT_ID]
OTHERS += [
    Binary(A_UUID, 3),
    Binary(A_UUID, 4),
    Binary(A_UUID, 0),
    Timestamp(1, 2),
    Regex("a"),
    Code("a"),
    MinKey(),
    MaxKey(),
]

SCALARS = st.sampled_from([*CLOSE, *DECIMALS, *OTHERS])
CLOSER = st.sampled_from([*CLOSE, *DECIMALS, *(Decimal128(text) for text in CLOSER_DECIMALS)])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)

LOOKALIKES = ["b", "false", "$a", "(", "[a-z]", "2026-02-30", "2026-03-15T12:00:00.123Z", "2026-03-15T12:00:00.1234Z"]
LOOKALIKES += ["2026-03-15T13:00:00+01:00", "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"]
TEXTS = st.sampled_from(
    [*(value for value in OTHERS if type(value) is str), *CLOSE_DECIMALS, *LOOKALIKES, "65f2f0" + "a0" * 9]
)
WHOLE = [0, 5, 52, 2**53, 2**53 + 1, -(2**63), 2**63 - 1, 10**23]
FRACTIONS = [Decimal(text) for text in [*CLOSE_DECIMALS[:-2], *CLOSER_DECIMALS, "52.0", "1e308", "5e-324", "-0.0"]]
NUMBERS = st.sampled_from(WHOLE) | st.sampled_from(FRACTIONS)
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS
ORDERED = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS | TEXTS, min_size=1, max_size=2)
CONDITIONS = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(["eq", "ne"]), VALUES, min_size=1),
    ORDERED,
    st.dictionaries(st.sampled_from(["in", "nin"]), st.lists(VALUES, min_size=1, max_size=4), min_size=1),
    st.dictionaries(st.just("exists"), st.booleans(), min_size=1),
    st.dictionaries(st.sampled_from(["contains", "starts_with"]), TEXTS, min_size=1),
)
NAMES = st.sampled_from(["a", "b", "a.b", "b.a", "a.a.b", "id", "id.a", "_id"])
FILTERS = st.dictionaries(NAMES, CONDITIONS, min_size=1, max_size=2)


def ids(count: int) -> list[Any]:
    """Different ids of different types."""
    kinds: list[Callable[[int], Any]] = [
        lambda n: n,
        str,
        lambda n: ObjectId(f"{n:024x}"),
        lambda n: {"a": n},
        lambda n: n + 0.1,
    ]
    return [kinds[n % len(kinds)](n) for n in range(count)]


def assert_found_as_the_rules_say(
    products: Products, documents: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    products.delete_many({})
    products.insert_many(documents)
    stored = list(products.find(sort=[("_id", 1)]))
    for wanted in filters:
        expected = [document for document in stored if matches(document, wanted)]
        assert found_by(products, wanted) == [document["_id"] for document in expected], (wanted, stored)


bounded = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(
    bodies=st.lists(st.dictionaries(st.sampled_from(["a", "b", "id"]), TREES, max_size=3), min_size=1, max_size=8),
    filters=st.lists(FILTERS, min_size=1, max_size=6),
)
def test_arbitrary_documents_are_found_according_to_the_rules(
    products: Products, bodies: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    documents = [{"_id": id_, **body} for id_, body in zip(ids(len(bodies)), bodies, strict=True)]
    assert_found_as_the_rules_say(products, documents, filters)


@bounded
@given(
    numbers=st.lists(CLOSER, min_size=1, max_size=12),
    filters=st.lists(st.fixed_dictionaries({"a": ORDERED | NUMBERS}), min_size=1, max_size=8),
)
def test_numbers_are_compared_exactly(products: Products, numbers: list[Any], filters: list[dict[str, Any]]) -> None:
    documents = [{"_id": n, "a": number} for n, number in enumerate(numbers)]
    assert_found_as_the_rules_say(products, documents, filters)
