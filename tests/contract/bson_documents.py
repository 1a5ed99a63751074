"""Arbitrary documents for property tests: every BSON type, nested, with hostile keys and texts."""

from datetime import datetime
from typing import Any

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

# BSON keys hold no NUL; the rest of Unicode is fair, dots, dollars and blanks too.
KEYS = st.one_of(
    st.sampled_from(["id", "sku", "a", "b", "a.b", "$set", "", "=x", "ü\U0001f389", "a\\", "x y", 'q"', "_x000D_"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
TEXTS = st.one_of(
    st.sampled_from(["", "=1+1", "-5", "@x", "a|b", 'say "hi"', "line\r\nbreak", "\t", "007", "_x0041_", "</t>&amp;", "\x0b"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(),
    st.decimals(places=2, min_value=-(10**9), max_value=10**9).map(Decimal128),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "1E+3", "0E-10", "12.10", "9" * 34]).map(Decimal128),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)),
    st.sampled_from([-(10**14), 10**15, 253402300800000]).map(DatetimeMS),
    st.binary(max_size=8),
    st.binary(min_size=16, max_size=16).map(lambda b: Binary(b, 4)),
    st.binary(max_size=4).map(lambda b: Binary(b, 128)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.sampled_from([Regex("^a.*", "im"), Code("f()"), MinKey(), MaxKey()]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.builds(
    lambda id_, rest: {"_id": id_, **rest},
    st.one_of(st.integers(0, 10**6), TEXTS, st.just(ObjectId("65f2f0a0a0a0a0a0a0a0a0a0"))),
    st.dictionaries(KEYS.filter(lambda key: key != "_id"), VALUES, max_size=6),
)
