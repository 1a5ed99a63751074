"""The table of docs/values.md line by line: CSV text and JSON of every type, from raw BSON bytes."""

import re
import struct
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from services.exporter.transcode.values import as_object, documents, escaped, json_text, leaves, parts, text, top_level

SIXTEEN = bytes(range(16))
HYPHENATED = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def raw(*elements: bytes) -> bytes:
    """A BSON document of raw elements, valid or not."""
    body = b"".join(elements) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def string(content: bytes) -> bytes:
    return struct.pack("<i", len(content) + 1) + content + b"\0"


def stored(value: Any) -> Any:
    """The value as read from MongoDB."""
    return documents(bson.encode({"x": value}))[0]["x"]


def decoded(element: bytes) -> Any:
    """The value of an element called x."""
    return documents(raw(element))[0]["x"]


TABLE: list[tuple[Any, str, str]] = [
    (None, "", "null"),
    ("as it is", "as it is", '"as it is"'),
    ('"\\\n\t\x00\x1f/ü🎉\u2028', '"\\\n\t\x00\x1f/ü🎉\u2028', '"\\"\\\\\\n\\t\\u0000\\u001f/ü🎉\u2028"'),
    (True, "true", "true"),
    (False, "false", "false"),
    (-7, "-7", "-7"),
    (Int64(2**63 - 1), "9223372036854775807", "9223372036854775807"),
    (52.0, "52.0", "52.0"),
    (1e-07, "1e-07", "1e-07"),
    (1e16, "1e+16", "1e+16"),
    (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
    (-0.0, "-0.0", "-0.0"),
    (5e-324, "5e-324", "5e-324"),
    (float("nan"), "NaN", '"NaN"'),
    (float("inf"), "Infinity", '"Infinity"'),
    (float("-inf"), "-Infinity", '"-Infinity"'),
    (Decimal128("12.10"), "12.10", "12.10"),
    (Decimal128("1E+3"), "1E+3", "1E+3"),
    (Decimal128("1E+400"), "1E+400", "1E+400"),
    (Decimal128("0E-10"), "0E-10", "0E-10"),
    (Decimal128("-0"), "-0", "-0"),
    (Decimal128("9" * 34), "9" * 34, "9" * 34),
    (Decimal128("NaN"), "NaN", '"NaN"'),
    (Decimal128("sNaN"), "NaN", '"NaN"'),
    (Decimal128("Infinity"), "Infinity", '"Infinity"'),
    (Decimal128("-Infinity"), "-Infinity", '"-Infinity"'),
    (datetime(2026, 3, 15, 9), "2026-03-15T09:00:00Z", '"2026-03-15T09:00:00Z"'),
    (datetime(2026, 3, 15, 9, 0, 0, 120_000), "2026-03-15T09:00:00.120Z", '"2026-03-15T09:00:00.120Z"'),
    (datetime(1969, 12, 31, 23, 59, 59, 999_000), "1969-12-31T23:59:59.999Z", '"1969-12-31T23:59:59.999Z"'),
    (datetime(1, 1, 1), "0001-01-01T00:00:00Z", '"0001-01-01T00:00:00Z"'),
    (datetime(9999, 12, 31, 23, 59, 59), "9999-12-31T23:59:59Z", '"9999-12-31T23:59:59Z"'),
    (DatetimeMS(253_402_300_800_000), "+010000-01-01T00:00:00Z", '"+010000-01-01T00:00:00Z"'),
    (DatetimeMS(-62_167_219_200_000), "0000-01-01T00:00:00Z", '"0000-01-01T00:00:00Z"'),
    (DatetimeMS(-62_167_219_200_001), "-000001-12-31T23:59:59.999Z", '"-000001-12-31T23:59:59.999Z"'),
    (DatetimeMS(-63_549_360_000_000), "-000044-03-15T00:00:00Z", '"-000044-03-15T00:00:00Z"'),
    (DatetimeMS(-62_162_121_600_000), "0000-02-29T00:00:00Z", '"0000-02-29T00:00:00Z"'),
    (DatetimeMS(2**63 - 1), "+292278994-08-17T07:12:55.807Z", '"+292278994-08-17T07:12:55.807Z"'),
    (DatetimeMS(-(2**63)), "-292275055-05-16T16:47:04.192Z", '"-292275055-05-16T16:47:04.192Z"'),
    (ObjectId("65f2f0a0a0a0a0a0a0a0a0a0"), "65f2f0a0a0a0a0a0a0a0a0a0", '"65f2f0a0a0a0a0a0a0a0a0a0"'),
    (Binary(SIXTEEN, 3), HYPHENATED, f'"{HYPHENATED}"'),
    (Binary(SIXTEEN, 4), HYPHENATED, f'"{HYPHENATED}"'),
    (Binary(b"abc", 4), "YWJj", '"YWJj"'),
    (Binary(SIXTEEN, 5), "AAECAwQFBgcICQoLDA0ODw==", '"AAECAwQFBgcICQoLDA0ODw=="'),
    (b"\xff\x00", "/wA=", '"/wA="'),
    (b"", "", '""'),
    (Timestamp(7, 3), "7:3", '"7:3"'),
    (Regex("^a/b", re.I | re.M), "/^a/b/im", '"/^a/b/im"'),
    (Regex("a"), "/a/", '"/a/"'),
    (Code("f()"), "f()", '"f()"'),
    (Code("=f()", {"x": 1}), "=f()", '"=f()"'),
    (MinKey(), "MinKey", '"MinKey"'),
    (MaxKey(), "MaxKey", '"MaxKey"'),
    ({}, "{}", "{}"),
    ([], "", "[]"),
    (["a", None, 1, True, 1.5], "a||1|true|1.5", '["a",null,1,true,1.5]'),
    ([None], "", "[null]"),
    (["a|b", "c"], '["a|b","c"]', '["a|b","c"]'),
    (["a", ["b"]], '["a",["b"]]', '["a",["b"]]'),
    ([{}], "[{}]", "[{}]"),
    ([{"b": 1, "a": None}], '[{"b":1,"a":null}]', '[{"b":1,"a":null}]'),
    ([Decimal128("12.10"), {"at": datetime(2026, 1, 1)}],) + ('[12.10,{"at":"2026-01-01T00:00:00Z"}]',) * 2,
    ([DBRef("c", 5), float("nan")],) + ('[{"$ref":"c","$id":5},"NaN"]',) * 2,
]


@pytest.mark.parametrize(("value", "flat", "json"), TABLE, ids=[repr(line[0])[:40] for line in TABLE])
def test_a_value_looks_as_documented(value: Any, flat: str, json: str) -> None:
    assert text(stored(value)) == flat
    assert json_text(stored(value)) == json


@pytest.mark.parametrize(
    ("element", "flat"),
    [
        (b"\x06x\0", ""),  # undefined
        (b"\x0ex\0" + string(b"symbol"), "symbol"),
        (b"\x02x\0" + string(b"a\xffb"), "a\ufffdb"),
        (b"\x02x\0" + string(b"\xed\xa0\x80"), "\ufffd\ufffd\ufffd"),  # a surrogate is not a character
        (b"\x0dx\0" + string(b"f(\xff)"), "f(\ufffd)"),
        (b"\x0bx\0a\xff\0i\0", "/a\ufffd/i"),
        (b"\x0bx\0a\0imsxlu\0", "/a/ilmsux"),
        (b"\x13x\0" + bytes(15) + b"\xfc", "NaN"),  # with the sign bit
        (b"\x13x\0" + bytes(15) + b"\xfe", "NaN"),  # signaling
        (b"\x05x\0" + struct.pack("<i", 7) + b"\x02" + struct.pack("<i", 3) + b"abc", "YWJj"),  # the old binary subtype
    ],
)
def test_types_that_drivers_no_longer_write_can_be_read(element: bytes, flat: str) -> None:
    assert text(decoded(element)) == flat


def test_a_dbpointer_is_a_dbref() -> None:
    pointer = decoded(b"\x0cx\0" + string(b"shops") + bytes(12))
    assert dict(as_object(pointer) or {}) == {"$ref": "shops", "$id": ObjectId(bytes(12))}


def test_invalid_utf8_in_a_key_is_replaced() -> None:
    [document] = documents(raw(b"\x10k\xff\0" + struct.pack("<i", 1)))
    assert document == {"k\ufffd": 1}


def test_the_last_of_duplicate_keys_counts_at_the_position_of_the_first() -> None:
    one, two, three = (struct.pack("<i", n) for n in (1, 2, 3))
    [document] = documents(raw(b"\x10a\0" + one, b"\x10b\0" + two, b"\x10a\0" + three))
    assert list(leaves(document)) == [("a", 3), ("b", 2)]


def test_a_dbref_is_an_ordinary_object() -> None:
    reference = stored(DBRef("shops", 5, "other", note="x"))
    assert json_text(reference) == '{"$ref":"shops","$id":5,"$db":"other","note":"x"}'
    assert list(leaves({"r": reference})) == [("r.$ref", "shops"), ("r.$id", 5), ("r.$db", "other"), ("r.note", "x")]


@pytest.mark.parametrize("odd", [{"$ref": 5, "$id": 1}, {"$ref": "a"}, {"$ref": "a", "$id": 1, "$db": 5}])
def test_an_object_that_only_looks_like_a_dbref_is_unchanged(odd: dict[str, Any]) -> None:
    assert stored(odd) == odd


def test_underscore_id_is_exported_as_id_unless_there_is_a_field_called_id() -> None:
    assert list(top_level({"_id": 1, "a": 2})) == [("id", 1), ("a", 2)]
    assert list(top_level({"_id": 1, "id": 2})) == [("_id", 1), ("id", 2)]
    assert list(leaves({"_id": {"_id": 1}})) == [("id._id", 1)]


def test_dots_and_backslashes_in_keys_are_escaped() -> None:
    document = {"a.b": 1, "a": {"b": 2}, "c\\": {"d": 3}, "c\\.d": 4, "": {"": 5}}
    names = ["a\\.b", "a.b", "c\\\\.d", "c\\\\\\.d", "."]
    assert [name for name, _ in leaves(document)] == names
    assert [parts(name) for name in names] == [["a.b"], ["a", "b"], ["c\\", "d"], ["c\\.d"], ["", ""]]
    assert escaped("plain") == "plain"


def test_null_lists_and_empty_objects_are_leaves() -> None:
    document = {"a": None, "b": [{"c": 1}], "d": {}, "e": {"f": {"g": 1}, "h": {}}}
    assert [name for name, _ in leaves(document)] == ["a", "b", "d", "e.f.g", "e.h"]


def test_indented_json_has_two_spaces_per_level() -> None:
    value = {"a": [1, {"b": {}}, []], "c": {"d": "x"}}
    expected = '{\n  "a": [\n    1,\n    {\n      "b": {}\n    },\n    []\n  ],\n  "c": {\n    "d": "x"\n  }\n}'
    assert json_text(value, "\n") == expected
