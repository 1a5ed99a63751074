"""Arbitrary documents for property tests: every BSON type, nested, with hostile keys and text."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import create_decimal128_context
from hypothesis import strategies as st

# BSON has no surrogates, and no NUL in keys. Everything else is allowed, including dots, dollars and spaces.
KEYS = st.one_of(
    st.sampled_from(
        ["id", "_id", "sku", "SKU", "a", "b", "a.b", "a\\.b", "a\\", ".", "$set", "$ref", "$id", "$db", ""]
    ),
    st.sampled_from(
        ["=x", "-1", "ü\U0001f389", "x y", " x ", 'q"', "a,b;c|d\te", "line\r\nbreak", "_x000D_", "(root)"]
    ),
    # Hypothesis also tries string constants of the code; Extended JSON reserves some that begin with $.
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6).filter(
        lambda key: not key.startswith("$")
    ),
)
_FORMULAS = ["=1+1", "-5", "+1", "@x", "\t", "\r", "'x"]
_NUMBER_LIKE = ["007", "1e5", "true", ""]
_SEPARATORS = [" ", "\n", "a|b", "|", 'say "hi"', "line\r\nbreak", ";,\t", "[1]", "{}"]
_ESCAPE_LIKE = ["_x0041_", "_x0041_x0042_", "_x0041\x0b", "_x0041\ufffe", "__x0041_", "_x00ab_", "_X0041_", "_x005F_"]
_MARKUP = ["</t>&amp;<![CDATA[", "\x0b\x00\x1f\x7f\x85\u2028\ufeff", "\ufffe\uffff\U0001fffe"]
HOSTILE = st.sampled_from([*_FORMULAS, *_NUMBER_LIKE, *_SEPARATORS, *_ESCAPE_LIKE, *_MARKUP])


class LongText(str):
    """Text that is abbreviated in the output of a failed test."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self[:3]}...{len(self)} characters"


LONG = st.sampled_from(
    ["x" * 32_767, "x" * 32_768, "\U0001f389" * 16_383 + "y\U0001f389", "\U0001f389" * 20_000, "\x0b" * 9_000]
).map(LongText)
TEXTS = st.one_of(HOSTILE, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))

_DECIMALS = st.builds(
    lambda negative, digits, exponent: Decimal((negative, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 1),
    st.one_of(st.integers(0, 10**16), st.integers(0, 10**34 - 1), st.sampled_from([10**33 + 1, 10**28, 10**29 + 1])),
    st.one_of(st.integers(-20, 20), st.integers(-6176, 6111)),
).map(lambda exact: Decimal128(create_decimal128_context().create_decimal(exact)))
_NUMBERS = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.sampled_from([10**15 - 1, 10**15, -(10**15) + 1, -(10**15), 2**53 + 1]).map(Int64),
    st.floats(),
    st.sampled_from([-0.0, 5e-324, 2.2250738585072014e-308, 2.3e-308, 1.7976931348623157e308, 1e16, 1e-7, 0.1 + 0.2]),
    _DECIMALS,
    st.sampled_from(["NaN", "Infinity", "-Infinity", "1E+3", "0E-10", "-0", "12.10", "1E+400", "1E-400"]).map(
        Decimal128
    ),
)
_DATES = st.one_of(
    st.integers(-62_135_596_800_000, 253_402_300_799_999).map(
        lambda ms: datetime(1970, 1, 1) + timedelta(milliseconds=ms)
    ),
    st.sampled_from(
        [datetime(1900, 2, 28, 23, 59, 59), datetime(1900, 3, 1), datetime(9999, 12, 31, 23, 59, 59, 999_000)]
    ),
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from([253_402_300_800_000, -62_135_596_800_001, -62_167_219_200_000, -62_167_219_200_001]),
    ).map(DatetimeMS),
)
_BYTES = st.one_of(
    st.binary(max_size=8),
    st.builds(Binary, st.binary(min_size=16, max_size=16), st.sampled_from([0, 3, 4, 5])),
    st.builds(Binary, st.binary(max_size=4), st.sampled_from([3, 4, 128])),
    st.binary(min_size=12, max_size=12).map(ObjectId),
)
_FLAGS = st.sampled_from([0, re.I, re.I | re.M, re.S | re.X, re.U | re.L])
_OTHERS = st.one_of(
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Regex, st.sampled_from(["^a.*", "a|b", "/", ""]), _FLAGS),
    st.builds(Code, st.sampled_from(["=f()", "a|b"]), st.sampled_from([None, {"x": 1}])),
    st.sampled_from([MinKey(), MaxKey()]),
)
SCALARS: st.SearchStrategy[Any] = st.one_of(TEXTS, st.none(), st.booleans(), _NUMBERS, _DATES, _BYTES, _OTHERS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.builds(lambda name, id_, more: DBRef(name, id_, **more), TEXTS, inner, st.sampled_from([{}, {"x": 1}])),
    ),
    max_leaves=8,
)
DOCUMENTS = st.builds(
    lambda id_, rest: {"_id": id_, **rest},
    st.one_of(
        st.integers(0, 10**6), TEXTS, st.just(ObjectId("65f2f0a0a0a0a0a0a0a0a0a0")), st.just({"a": 1, "b": {"c": "x"}})
    ),
    st.dictionaries(KEYS.filter(lambda key: key != "_id"), st.one_of(VALUES, LONG), max_size=6),
)
"""Documents that one MongoDB collection may hold; `_id` comes first, as in MongoDB."""
