"""BSON values as text and as JSON. Pure; the rules are in docs/values.md.

The loader uses `text` too, to find out whether a cell was edited.
"""

import base64
import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring  # the C function behind json.dumps
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS

Document = dict[str, Any]

# Every document can be decoded: dates out of Python's range stay milliseconds, invalid UTF-8 becomes U+FFFD.
CODEC: CodecOptions[Document] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

_UUID_SUBTYPES = {3, 4}
_FLAGS = ((2, "i"), (4, "l"), (8, "m"), (16, "s"), (32, "u"), (64, "x"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The Gregorian calendar repeats after 400 years, so dates out of Python's range are computed within one cycle.
_CYCLE_DAYS = 146_097


def documents(batch: bytes) -> list[Document]:
    """Decode a raw batch.

    Raises:
        bson.errors.InvalidBSON: the batch is damaged.
    """
    # PyMongo 4.20 checks values in a list against the size of the document, counted from the start of the list. In a
    # damaged list it can read beyond the batch, by at most the batch's size; the padding makes that memory ours.
    size = len(batch)
    padded = bytearray(2 * size)
    padded[:size] = batch
    return bson.decode_all(memoryview(padded)[:size], CODEC)


def escaped(key: str) -> str:
    """A key as part of a dotted name: dots and backslashes in it are escaped with a backslash."""
    return key.replace("\\", "\\\\").replace(".", "\\.") if "." in key or "\\" in key else key


def parts(name: str) -> list[str]:
    """The keys of a dotted name; the inverse of joining escaped keys with dots."""
    keys, current, characters = [], "", iter(name)
    for character in characters:
        if character == "\\":
            current += next(characters, "\\")
        elif character == ".":
            keys.append(current)
            current = ""
        else:
            current += character
    return [*keys, current]


def as_object(value: Any) -> Mapping[str, Any] | None:
    """The keys and values of a non-empty object (a DBRef is one), or None for a leaf."""
    if isinstance(value, dict):
        return value or None
    return value.as_doc() if isinstance(value, DBRef) else None


def top_level(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The top-level keys as exported: `_id` becomes `id`, unless the document has a field called `id`."""
    own_id = "id" in document
    for key, value in document.items():
        yield ("id" if key == "_id" and not own_id else key), value


def leaves(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All leaves of a document with their dotted names, in the document's order."""
    for key, value in top_level(document):
        yield from _below(escaped(key), value)


def _below(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    inner = as_object(value)
    if inner is None:
        yield name, value
        return
    for key, below in inner.items():
        yield from _below(f"{name}.{escaped(key)}", below)


def instant(millis: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC; years beyond 0 to 9999 as ISO 8601 expanded years."""
    days, rest = divmod(millis, 86_400_000)
    cycles, day = divmod(days, _CYCLE_DAYS)
    at = _EPOCH + timedelta(days=day, milliseconds=rest)
    year = at.year + 400 * cycles
    shown = f"{year:04}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):06}"
    fraction = f".{rest % 1000:03}" if rest % 1000 else ""
    return f"{shown}-{at.month:02}-{at.day:02}T{at.hour:02}:{at.minute:02}:{at.second:02}{fraction}Z"


def _date(value: datetime) -> str:
    text = value.isoformat()
    return f"{text[:23]}Z" if value.microsecond else f"{text}Z"


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bytes(value: bytes) -> str:
    if isinstance(value, Binary) and value.subtype in _UUID_SUBTYPES and len(value) == 16:
        return str(uuid.UUID(bytes=bytes(value)))
    return base64.b64encode(value).decode()


def _regex(value: Regex[Any]) -> str:
    flags = value.flags if isinstance(value.flags, int) else 0
    return f"/{value.pattern}/{''.join(letter for bit, letter in _FLAGS if flags & bit)}"


class FormattedNumber(str):
    """A number that a request formats as text: never a formula, whatever it begins with."""

    __slots__ = ()


SCALARS: dict[type, Callable[[Any], str]] = {
    str: lambda value: value,
    FormattedNumber: str.__str__,
    bool: lambda value: "true" if value else "false",
    int: str,
    Int64: str,
    float: _float,
    Decimal128: str,
    datetime: _date,
    DatetimeMS: lambda value: instant(int(value)),
    ObjectId: str,
    bytes: _bytes,
    Binary: _bytes,
    Timestamp: lambda value: f"{value.time}:{value.inc}",
    Regex: _regex,
    Code: lambda value: str.__str__(value),
    MinKey: lambda _: "MinKey",
    MaxKey: lambda _: "MaxKey",
    type(None): lambda _: "",
}


def _list(values: list[Any]) -> str:
    pieces = []
    for value in values:
        scalar = SCALARS.get(value.__class__)
        if scalar is None:
            return json_text(values)
        piece = scalar(value)
        if "|" in piece:
            return json_text(values)
        pieces.append(piece)
    return "|".join(pieces)


TEXT: dict[type, Callable[[Any], str]] = {
    **SCALARS,
    list: _list,
    dict: lambda value: json_text(value),
    DBRef: lambda value: json_text(value),
}
"""The text of each type of value in a flat format."""

NUMBERS_AND_DATES: frozenset[type] = frozenset(
    {bool, int, Int64, float, Decimal128, FormattedNumber, datetime, DatetimeMS, type(None)}
)
"""Types whose text is never a formula."""

FORMULA_STARTS = tuple("=+-@\t\r")
"""What a spreadsheet takes for the beginning of a formula."""


def text(value: Any) -> str:
    """A leaf as a cell of a flat format."""
    return TEXT[value.__class__](value)


def _json_float(value: float) -> str:
    shown = _float(value)
    return shown if math.isfinite(value) else f'"{shown}"'


def _json_decimal(value: Decimal128) -> str:
    shown = str(value)
    return f'"{shown}"' if shown[-1] in "Ny" else shown  # NaN, Infinity


def _quoted(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: encode_basestring(write(value))


_JSON: dict[type, Callable[[Any], str]] = {
    **{kind: _quoted(write) for kind, write in SCALARS.items()},
    str: encode_basestring,
    bool: SCALARS[bool],
    int: str,
    Int64: str,
    float: _json_float,
    Decimal128: _json_decimal,
    type(None): lambda _: "null",
}


_JSON_WITH_QUOTED_DECIMALS = {**_JSON, Decimal128: _quoted(str)}


def json_text(value: Any, newline: str | None = None, *, quote_decimals: bool = False) -> str:
    """A value as JSON: compact, or indented by two spaces; `newline` is a line break and the current indentation."""
    return _json_text(value, newline, _JSON_WITH_QUOTED_DECIMALS if quote_decimals else _JSON)


def _json_text(value: Any, newline: str | None, scalars: Mapping[type, Callable[[Any], str]]) -> str:
    scalar = scalars.get(value.__class__)
    if scalar is not None:
        return scalar(value)
    deeper = None if newline is None else newline + "  "
    if isinstance(value, list):
        return _bracketed("[", [_json_text(item, deeper, scalars) for item in value], "]", newline)
    colon = ":" if newline is None else ": "
    members = [
        f"{encode_basestring(key)}{colon}{_json_text(below, deeper, scalars)}"
        for key, below in (as_object(value) or {}).items()
    ]
    return _bracketed("{", members, "}", newline)


def _bracketed(opening: str, items: list[str], closing: str, newline: str | None) -> str:
    if newline is None or not items:
        return f"{opening}{','.join(items)}{closing}"
    inner = newline + "  "
    return f"{opening}{inner}{f',{inner}'.join(items)}{newline}{closing}"
