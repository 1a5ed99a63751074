"""JSON text to BSON values without losing a digit or a type: the inverse of what the exporter writes.

Whole numbers are int64, fractions are doubles if a double is written like this, other numbers are Decimal128. Text in
the exact form of an exported date is a date. MongoDB's Extended JSON is supported.
"""

import decimal
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Decimal128, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from loader.errors import BadRecord
from services.exporter.transcode.values import instant

Document = dict[str, Any]
Number = int | float | Decimal128

INT64 = range(-(2**63), 2**63)
INT64_DIGITS = 19
DECIMAL_DIGITS = 34

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INSTANT = re.compile(r"(\d{4}|[+-]\d{6,9})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The Gregorian calendar repeats after 400 years, so years out of Python's range are computed in a similar year.
_CYCLE_MS = 146_097 * 86_400_000
_SAFE_YEAR = 2000

_EXTENDED = json_util.JSONOptions(
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_EXTENDED_KEYS = frozenset(
    [
        "$oid",
        "$date",
        "$numberInt",
        "$numberLong",
        "$numberDouble",
        "$numberDecimal",
        "$binary",
        "$uuid",
        "$timestamp",
        "$regularExpression",
        "$regex",
        "$code",
        "$minKey",
        "$maxKey",
        "$undefined",
        "$symbol",
    ]
)
_EXTENDED_COMPANIONS = frozenset(["$type", "$options", "$scope"])


def integer(text: str) -> int | Decimal128:
    """An integer as int64, else Decimal128 (including `-0`, which only a decimal can hold).

    Raises:
        BadRecord: it has more than 34 digits.
    """
    if len(text.lstrip("-")) <= INT64_DIGITS and text != "-0" and (value := int(text)) in INT64:
        return value
    return exact(text)


def fraction(text: str) -> float | Decimal128:
    """A number with a fraction or an exponent: a double if that is written like this, else Decimal128.

    Raises:
        BadRecord: it has more than 34 digits, or is too large for a Decimal128.
    """
    value = float(text)
    return value if repr(value) == text else exact(text)


def exact(text: str) -> Decimal128:
    """A number with exactly these digits.

    Raises:
        BadRecord: it has more than 34 digits, or is too large for a Decimal128.
    """
    try:
        return Decimal128(text)
    except decimal.DecimalException as exc:
        raise BadRecord(f"the number {text[:60]} has more than {DECIMAL_DIGITS} digits or is too large") from exc


def date(text: str) -> datetime | DatetimeMS | None:
    """The date whose exported form is exactly this text; None for any other text."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    year, *others = (int(part or 0) for part in found.groups())
    month, day, hour, minute, second, thousandth = others
    safe = _SAFE_YEAR + year % 400
    try:
        at = datetime(safe, month, day, hour, minute, second, thousandth * 1000, tzinfo=UTC)
    except ValueError:
        return None
    millis = (at - _EPOCH) // timedelta(milliseconds=1) + (year - safe) // 400 * _CYCLE_MS
    if millis not in INT64 or instant(millis) != text:
        return None
    return at.replace(year=year, tzinfo=None) if 1 <= year <= 9999 else DatetimeMS(millis)


def parsed(text: str) -> Any:
    """A JSON text as BSON values.

    Raises:
        BadRecord: not JSON, a duplicate key, a number that is too long, or invalid Extended JSON.
    """
    try:
        return _dated(_DECODER.decode(text))
    except json.JSONDecodeError as exc:
        raise BadRecord(f"not JSON: {exc.msg} at character {exc.pos + 1}") from exc
    except RecursionError as exc:
        raise BadRecord("nested too deeply") from exc


def document(text: str) -> Document:
    """A JSON object as a document.

    Raises:
        BadRecord: as `parsed`, or it is not an object.
    """
    value = parsed(text)
    if not isinstance(value, dict):
        raise BadRecord("not a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise BadRecord(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    if _EXTENDED_KEYS.isdisjoint(found) or not found.keys() <= _EXTENDED_KEYS | _EXTENDED_COMPANIONS:
        return found  # Extended JSON has no other keys beside its own, so these are names of fields
    try:
        return json_util.object_hook(found, _EXTENDED)
    except (TypeError, ValueError, KeyError, BSONError, decimal.DecimalException) as exc:
        raise BadRecord(f"bad Extended JSON {json.dumps(found, default=str)[:100]}: {exc}") from exc


def _constant(text: str) -> Any:
    raise BadRecord(f"not JSON: {text} is not a JSON number; write it as text or as Extended JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=integer, parse_float=fraction, parse_constant=_constant
)


def _dated(value: Any) -> Any:
    """The value, with every text in the form of an exported date replaced by the date."""
    if value.__class__ is str:
        return date(value) or value if value.endswith("Z") else value
    if isinstance(value, list):
        return [_dated(item) for item in value]
    if value.__class__ is dict:
        return {key: _dated(below) for key, below in value.items()}
    return value
