"""Reads a filter's value as every BSON type it may mean: JSON has no dates, ids or decimals.

Each function returns the value as one type, or None if it cannot be read as that type.
"""

import math
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow

from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

Plain = str | bool | int | Decimal | None
"""A plain JSON value."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?|NaN|-?Infinity")
_MAX_NUMBER = 100
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_UUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# IEEE 754 decimal128; a number that does not fit without rounding is not compared as a number.
_DECIMAL128 = Context(prec=34, Emin=-6143, Emax=6144, clamp=1, traps=[Inexact, Overflow, InvalidOperation])


@dataclass(frozen=True, slots=True)
class Number:
    """A number as MongoDB compares it with any number, and the nearest double if that is a different number.

    MongoDB compares exactly: the double 12.1 is slightly less than Decimal128 12.1.
    """

    exact: Int64 | Decimal128 | float
    value: Decimal
    double: float | None = None


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time in whole milliseconds, as in BSON; `rest`: the exact time is later than that."""

    at: DatetimeMS
    rest: bool


def text(value: Plain) -> str | None:
    """The value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def boolean(value: Plain) -> bool | None:
    """`true` or `false`, also written as text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return value if isinstance(value, bool) else None


def number(value: Plain) -> Number | None:
    """A number of up to 34 digits, also written as text."""
    decimal = _decimal(value)
    if decimal is None:
        return None
    if not decimal.is_finite():
        return Number(float(decimal), decimal)
    if -(2**63) <= decimal < 2**63 and decimal == decimal.to_integral_value():
        return Number(Int64(int(decimal)), decimal)
    double = float(decimal)
    if not math.isfinite(double) or double == 0:  # outside the range of doubles
        return Number(Decimal128(decimal), decimal)
    if Decimal(double) == decimal:
        return Number(double, decimal)
    return Number(Decimal128(decimal), decimal, double)


def _decimal(value: Plain) -> Decimal | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and (len(value) > _MAX_NUMBER or not _NUMBER.fullmatch(value)):
        return None
    try:
        return _DECIMAL128.create_decimal(value)
    except ArithmeticError:
        return None


def instant(value: Plain) -> Instant | None:
    """An RFC 3339 date (its midnight) or date and time; UTC unless it has an offset."""
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    date, time, fraction, offset = found.groups()
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    try:
        at = datetime.fromisoformat(f"{date}T{time or '00:00:00'}{zone}")
    except ValueError:
        return None
    digits = (fraction or "").ljust(3, "0")
    millis = (at - _EPOCH) // timedelta(milliseconds=1) + int(digits[:3])
    return Instant(DatetimeMS(millis), bool(digits[3:].strip("0")))


def object_id(value: Plain) -> ObjectId | None:
    """24 hexadecimal digits."""
    return ObjectId(value) if isinstance(value, str) and _OBJECT_ID.fullmatch(value) else None


def uuids(value: Plain) -> tuple[Binary, ...]:
    """A UUID as both binary subtypes that can hold one."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        return ()
    bytes_ = uuid.UUID(value).bytes
    return Binary(bytes_, 4), Binary(bytes_, 3)
