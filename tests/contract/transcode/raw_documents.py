"""BSON that drivers do not write: old types, duplicate keys, invalid UTF-8, damaged batches."""

import struct
from typing import Any

import bson
from bson import Decimal128
from hypothesis import strategies as st

from tests.contract.bson_documents import DOCUMENTS, KEYS, SCALARS


def raw(*elements: bytes) -> bytes:
    """A BSON document of raw elements, valid or not."""
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
"""The bytes of a whole document."""
BATCHES = st.lists(st.lists(STORED, max_size=3).map(b"".join), max_size=3)
"""Batches of whole documents."""


@st.composite
def damaged(draw: st.DrawFn) -> list[bytes]:
    """A batch, and the same batch truncated or with some bytes changed."""
    sound = b"".join(draw(st.lists(STORED, min_size=1, max_size=3)))
    batch = bytearray(sound)
    for at in draw(st.lists(st.integers(0, len(batch) - 1), max_size=3)):
        batch[at] = draw(st.one_of(st.integers(0, 255), st.just(batch[at] ^ 1 << draw(st.integers(0, 7)))))
    return [sound, bytes(batch[: draw(st.one_of(st.just(len(batch)), st.integers(0, len(batch))))])]


_EDGE_TEXTS: list[bytes | str] = [
    *[
        b"",
        b"plain",
        "\ud7ff\ue000\ufffd\U00010000\U0010ffff".encode(),
        b"a|b",
        b'say "hi"',
        b"a\\b\x00\x08\x0c\x1f\x7f",
    ],
    *[
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xc2\x41",
        b"\xdf\xc0",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xe2\x28\xa1",
    ],
    *[
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x90\x80",
        b"\xf1\x80\x80\xc0",
    ],
    *[b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"seven b\xff and more", b"exactly8\xc3"],
    *[
        start + rest
        for start in [b"=", b"+", b"-", b"@", b"\t", b"\r", b"\n", b"'", b" "]
        for rest in [b"", b"x", b",;|\t"]
    ],
    *[
        "x" * many + odd
        for many in (0, 14, 15, 16, 17, 40)
        for odd in [",", '"', "\r", "\n", "\\", "<", "_x0041_", "  "]
    ],
    *[chr(blank) + "x" for blank in range(0x21)],
    *["x" + chr(blank) for blank in range(0x21)],
    *[
        "x\x7f",
        "\x85x",
        "x\xa0",
        "\u1680x",
        "x\u180e",
        "\u2000x",
        "x\u200a",
        "x\u200b",
        "\u2028x",
        "x\u2029",
        "\u202fx",
        "x\u205f",
    ],
    *["\u3000x", "x\ufeff", "x\U0001f389", "\u2027x", "x\u202a", "\u2060x", "x\u3001", "\x84", "\x86", "\x9f", "\xa1"],
    *[
        "_x0041_",
        "__x0041_",
        "_x0041",
        "_x004_",
        "_x00g1_",
        "_x00aF_",
        "_X0041_",
        "_x0041\x0b",
        "_x0041\ufffe",
        "_x0041\uffff",
    ],
    *[
        "_x0041\ufffd",
        "_x0041\t",
        "_x0041\r",
        "\ufffd",
        "\ufffe\uffff",
        "\uffef",
        "<a&b>",
        "a  b",
        "a\nb",
        "y" * 32_767,
        "y" * 32_768,
    ],
    *["\U0001f389" * 8_191, "\U0001f389" * 16_384, "é" * 16_384],
]
_EDGE_INTEGERS = [0, -1, 9, 10, 99, 100, 10**15 - 1, 10**15, -(10**15), 1 - 10**15, 2**63 - 1, -(2**63)]
_EDGE_DATES = [
    *[0, -1, 1, 999, 1_000, -86_400_000, -2_203_891_200_000, -2_203_891_200_001, 951_782_400_000, 4_107_542_399_999],
    *[253_402_300_799_999, 253_402_300_800_000, -62_135_596_800_000, -62_135_596_800_001, -62_167_219_200_000],
    *[-62_167_219_200_001, 2**63 - 1, -(2**63), 1_773_565_200_120, -1_999],
]
_EDGE_DOUBLES = [
    *[0.0, -0.0, 1.0, 1e15, 1e16, 123456789012345680.0, 1e22, 1e-4, 1e-5, 0.1 + 0.2, 5e-324, 2.2250738585072014e-308],
    *[2.3e-308, 2.2999999999999996e-308, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"), 52.0],
]
_EDGE_DECIMALS = [
    *[
        "0",
        "-0",
        "0E-6176",
        "0E+6111",
        "0E+3",
        "12.10",
        "-12.10",
        "1E+3",
        "1E-6",
        "1E-7",
        "0.000001",
        "1234.5E-9",
        "NaN",
    ],
    *[
        "9" * 34,
        "9" * 15,
        "9" * 16,
        "1" + "0" * 33,
        "1.50000000000000000000000000000000",
        "1E+22",
        "1E+23",
        "9E-22",
        "9E-23",
    ],
    *["Infinity", "-Infinity", "9" * 34 + "E+6111", "1E-6176", "1E+308", "1E+309", "1E-400", "-1.000000000000000E+9"],
]


def _decimal(coefficient: int, exponent: int) -> bytes:
    """A Decimal128 in its usual encoding, including coefficients that are too large."""
    return ((exponent + 6176) << 113 | coefficient).to_bytes(16, "little")


EDGES: list[tuple[int, bytes]] = [
    *[(2, string(text if isinstance(text, bytes) else text.encode())) for text in _EDGE_TEXTS],
    *[(18, struct.pack("<q", whole)) for whole in _EDGE_INTEGERS],
    *[(16, struct.pack("<i", whole)) for whole in (0, 7, -(2**31), 2**31 - 1)],
    *[(9, struct.pack("<q", millis)) for millis in _EDGE_DATES],
    *[(1, struct.pack("<d", double)) for double in _EDGE_DOUBLES],
    *[(19, Decimal128(text).bid) for text in _EDGE_DECIMALS],
    *[
        (19, _decimal(coefficient, exponent))
        for coefficient in (10**34 - 1, 10**34, 2**113 - 1)
        for exponent in (0, -40)
    ],
    *[(19, bytes(15) + bytes([last])) for last in (0x60, 0x6F, 0x78, 0x7C, 0x7E, 0xE0, 0xFC, 0xFE)],
    *[(8, bytes([byte])) for byte in (0, 1, 2, 255)],
    *[
        (5, struct.pack("<iB", len(data), kind) + data)
        for kind in (0, 3, 4, 5, 128)
        for data in (b"", b"\xfb", bytes(16))
    ],
    *[(5, struct.pack("<iB", len(data), 0) + data) for data in (b"ab", b"abc", b"abcd", b"\xff\xfe\xfd")],
    *[(5, struct.pack("<iBi", 7, 2, 3) + b"abc"), (6, b""), (10, b""), (127, b""), (255, b""), (7, bytes(range(12)))],
    *[(17, struct.pack("<II", 2**32 - 1, 7)), (11, b"a|b\0im\0"), (13, string(b"=f()")), (14, string(b"=s"))],
    *[(12, string(b"shops") + bytes(12)), (15, struct.pack("<i", 17) + string(b"x") + raw()), (3, raw()), (4, raw())],
]
"""Types and bytes of boundary values; a few are invalid."""


NULL = (10, b"")


def around(kind: int, value: bytes) -> list[bytes]:
    """Documents with a value at every kind of place."""
    element = _element(b"x", (kind, value))
    return [
        raw(_element(b"_id", (kind, value)), element),
        raw(_element(b"o", (3, raw(element)))),
        raw(_element(b"l", (4, raw(_element(b"0", (kind, value)))))),
        raw(
            _element(
                b"l",
                (4, raw(_element(b"0", (10, b"")), _element(b"1", (kind, value)), _element(b"2", (3, raw(element))))),
            )
        ),
    ]


_DB_NULL = raw(_element(b"$ref", (2, string(b"s"))), _element(b"$id", (16, bytes(4))), _element(b"$db", NULL))
_DB_NAMED = raw(
    _element(b"$id", (16, bytes(4))), _element(b"$db", (2, string(b"d"))), _element(b"$ref", (2, string(b"s")))
)
_ONE, _TWO = (16, struct.pack("<i", 1)), (16, struct.pack("<i", 2))
ODD_OBJECTS: list[bytes] = [
    *[
        raw(_element(b"a", (3, _DB_NAMED))),
        raw(_element(b"a", (3, _DB_NULL))),
        raw(_element(b"a", (4, raw(_element(b"0", (3, _DB_NULL)))))),
    ],
    *[raw(_element(b"a", _ONE), _element(b"b", _ONE), _element(b"a", _TWO))],
    *[raw(_element(b"a", (3, raw(_element(b"b", _ONE)))), _element(b"a", _TWO))],
    *[raw(_element(b"a", (3, raw(_element(b"b", _ONE), _element(b"b", _TWO)))))],
    *[raw(_element(b"a", (4, raw(_element(b"0", (3, raw(_element(b"b", _ONE), _element(b"b", _TWO))))))))],
    *[raw(_element(b"a", (3, raw(_element(b"$id", _ONE), _element(b"$ref", (2, string(b"shops")))))))],
    *[
        raw(
            _element(
                b"a", (4, raw(_element(b"0", (3, raw(_element(b"$id", _ONE), _element(b"$ref", (2, string(b"s"))))))))
            )
        )
    ],
    *[raw(_element(b"_id", _ONE), _element(b"id", _TWO)), raw(_element(b"id", _TWO), _element(b"_id", _ONE))],
    *[
        raw(_element(b"_id", _ONE)),
        raw(_element(b"id", _ONE), _element(b"id", _TWO)),
        raw(_element(b"k\xff", _ONE)),
        raw(),
    ],
]
"""Documents with unusual keys."""
