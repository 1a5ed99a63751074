"""BSON as drivers no longer write it, or never did: old types, keys twice, bytes that are no text, damaged batches."""

import struct
from typing import Any

import bson
from hypothesis import strategies as st

from tests.contract.bson_documents import DOCUMENTS, KEYS, SCALARS


def raw(*elements: bytes) -> bytes:
    """A BSON document of elements as they are, right or wrong."""
    body = b"".join(elements) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def string(content: bytes) -> bytes:
    """A BSON string with its length."""
    return struct.pack("<i", len(content) + 1) + content + b"\0"


def _element(key: bytes, kind_and_value: tuple[int, bytes]) -> bytes:
    kind, value = kind_and_value
    return bytes([kind]) + key + b"\0" + value


def _stored(value: Any) -> tuple[int, bytes]:
    """The type and the bytes of a value as a driver writes it."""
    document = bson.encode({"": value})
    return document[4], document[6:-1]


_TEXTS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(["a|b", "é\ud7ff", "\U0010ffff"]).map(str.encode),
    st.sampled_from(
        [b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"x\xe2\x82", b"\xff"]
    ),
)
_BLANK_ENDS = st.sampled_from(
    ["\x85x", "x\xa0", "\u1680", "\u2003x", "x\u2028", "\u3000", "x\u180e", "x\x1c", "\u200b"]
)
_ANY_BITS = st.binary(min_size=16, max_size=16)
_PLAIN: st.SearchStrategy[tuple[int, bytes]] = st.one_of(
    SCALARS.map(_stored),
    _TEXTS.map(lambda text: (2, string(text))),
    _BLANK_ENDS.map(lambda text: (2, string(text.encode()))),
    st.one_of(_TEXTS, st.just(b"=f()")).map(lambda text: (14, string(text))),
    _TEXTS.map(lambda text: (13, string(text))),
    st.binary(min_size=8, max_size=8).map(lambda bits: (1, bits)),
    st.binary(min_size=8, max_size=8).map(lambda bits: (9, bits)),
    _ANY_BITS.map(lambda bits: (19, bits)),
    st.just((6, b"")),
    st.tuples(_TEXTS, st.binary(min_size=12, max_size=12)).map(lambda pointer: (12, string(pointer[0]) + pointer[1])),
    st.binary(max_size=5).map(lambda content: (5, struct.pack("<iBi", len(content) + 4, 2, len(content)) + content)),
)
_RAW_KEYS = st.one_of(
    KEYS.map(str.encode), st.sampled_from([b"a", b"b", b"id", b"_id", b"$ref", b"$id", b"k\xff", b"\xef\xbf\xbd"])
)


def _deeper(values: st.SearchStrategy[tuple[int, bytes]]) -> st.SearchStrategy[tuple[int, bytes]]:
    elements = st.lists(st.builds(_element, _RAW_KEYS, values), max_size=4)
    return st.one_of(elements.map(lambda inner: (3, raw(*inner))), elements.map(lambda inner: (4, raw(*inner))))


_ODD_DOCUMENTS = st.lists(st.builds(_element, _RAW_KEYS, st.recursive(_PLAIN, _deeper, max_leaves=8)), max_size=6).map(
    lambda elements: raw(*elements)
)
STORED = st.one_of(DOCUMENTS.map(bson.encode), _ODD_DOCUMENTS)
"""A document's bytes, whole."""
BATCHES = st.lists(st.lists(STORED, max_size=3).map(b"".join), max_size=3)
"""Batches of whole documents."""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A batch that was cut short, or of which some bytes were changed."""
    batch = bytearray(b"".join(draw(st.lists(STORED, min_size=1, max_size=3))))
    for at in draw(st.lists(st.integers(0, len(batch) - 1), max_size=3)):
        batch[at] = draw(st.one_of(st.integers(0, 255), st.just(batch[at] ^ 1 << draw(st.integers(0, 7)))))
    return bytes(batch[: draw(st.one_of(st.just(len(batch)), st.integers(0, len(batch))))])
