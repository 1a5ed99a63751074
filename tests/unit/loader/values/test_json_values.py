"""JSON text of an export is read back as the same value, digit by digit."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from loader.errors import BadRecord
from loader.values.json_values import date, document, parsed
from services.exporter.transcode.values import json_text

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda value: date(value) is None)
_DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal128(Decimal((sign, tuple(map(int, str(digits))), exponent))),
    st.integers(0, 1),
    st.integers(0, 10**34 - 1),
    st.integers(-6176, 6111),
)
_DATES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000, fold=0)
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _DATES,
    _TEXTS,
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS.filter(lambda k: k[:1] != "$"), inner)
)


@given(VALUES)
def test_values_that_json_can_hold_are_read_back_unchanged(value: Any) -> None:
    found = parsed(json_text(value))
    assert found == value
    assert repr(found) == repr(value)  # tells 1 from 1.0 and True


@given(_DECIMALS)
def test_a_decimal_is_read_back_with_all_its_digits(value: Decimal128) -> None:
    found = parsed(json_text(value))
    assert json_text(found) == json_text(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_instant_of_bson_is_read_back(millis: int) -> None:
    shown = json_text(DatetimeMS(millis))
    found = parsed(shown)
    assert json_text(found) == shown
    assert not isinstance(found, str)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", Decimal128("9223372036854775808")),
        ("12.10", Decimal128("12.10")),
        ("52.0", 52.0),
        ("-0", Decimal128("-0")),
        ("1E+3", Decimal128("1E+3")),
        ('"2026-03-15"', "2026-03-15"),
        ('"2026-03-15T09:00:00Z"', datetime(2026, 3, 15, 9)),
        ('"2026-02-30T09:00:00Z"', "2026-02-30T09:00:00Z"),
        ('{"$oid": "65f2f0a0a0a0a0a0a0a0a0a0"}', ObjectId("65f2f0a0a0a0a0a0a0a0a0a0")),
        ('{"$numberLong": "7"}', Int64(7)),
        ('{"$numberDecimal": "1.50"}', Decimal128("1.50")),
        ('{"$date": "2026-03-15T09:00:00Z"}', datetime(2026, 3, 15, 9)),
        ('{"$date": "soon", "sku": "a"}', {"$date": "soon", "sku": "a"}),
        ('{"$regex": "a|b", "$options": "i"}', Regex("a|b", "i")),
    ],
)
def test_numbers_dates_and_extended_json_have_their_types(text: str, value: Any) -> None:
    found = parsed(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ("1" * 40, "more than 34 digits"),
        ('{"$oid": "no"}', "bad Extended JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "not a JSON object"),
    ],
)
def test_invalid_text_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        document(text)
