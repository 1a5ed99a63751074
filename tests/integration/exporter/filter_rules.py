"""The section Filters of docs/values.md in an independent, slow implementation: which documents match."""

import math
import re
import uuid
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from bson import Binary, Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

MISSING = object()
NAN = math.nan


def matches(document: dict[str, Any], filters: dict[str, Any]) -> bool:
    """Whether all conditions hold."""
    return all(
        holds(document, name, operator, operand)
        for name, condition in filters.items()
        for operator, operand in (condition.items() if isinstance(condition, dict) else [("eq", condition)])
    )


def holds(document: dict[str, Any], name: str, operator: str, operand: Any) -> bool:
    keys = name.split(".")
    if keys[0] == "id" and "id" not in document:
        keys[0] = "_id"
    found = reached(document, keys)
    present = [value for value in found if value is not MISSING]
    match operator:
        case "exists":
            return bool(present) is operand
        case "eq":
            absent = operand is None and (not present or len(present) < len(found))
            return absent or any(is_equal(value, operand) for value in present)
        case "in":
            return any(holds(document, name, "eq", item) for item in operand)
        case "ne":
            return not holds(document, name, "eq", operand)
        case "nin":
            return not holds(document, name, "in", operand)
        case "contains":
            return any(is_text(value) and operand in value for value in present)
        case "starts_with":
            return any(is_text(value) and value.startswith(operand) for value in present)
        case "gt" | "gte" | "lt" | "lte":
            return any(is_ordered(value, operator, operand) for value in present)
    raise AssertionError(operator)


def reached(value: Any, keys: list[str]) -> list[Any]:
    """All values at a dotted name, including those in lists; MISSING for an object or value without it."""
    if not keys:
        return [value, *value] if isinstance(value, list) else [value]
    if isinstance(value, list):
        return [found for item in value if isinstance(item, dict) for found in reached(item, keys)]
    if isinstance(value, dict) and keys[0] in value:
        return reached(value[keys[0]], keys[1:])
    return [MISSING]


def is_equal(value: Any, operand: Any) -> bool:
    if value is None or operand is None:
        return value is operand
    if isinstance(value, bool) or isinstance(operand, bool):
        return (isinstance(value, bool) or is_text(value)) and spelled(value) == spelled(operand)
    if is_text(value):
        return bool(value == str(operand))
    if isinstance(value, Binary):
        hexadecimal = re.fullmatch("[0-9a-f-]{32,36}", str(operand)) is not None
        return hexadecimal and value.subtype in (3, 4) and uuid.UUID(bytes=bytes(value)) == uuid.UUID(str(operand))
    return same_type(value, operand) == 0


def is_text(value: Any) -> bool:
    return type(value) is str  # Code is a str too


def spelled(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def is_ordered(value: Any, operator: str, operand: Any) -> bool:
    if is_text(value):
        if not isinstance(operand, str):
            return False
        order: float | None = compared(value.encode(), operand.encode())
    else:
        order = same_type(value, operand)
    if order is None:
        return False
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[operator]


def compared(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def same_type(value: Any, operand: Any) -> int | None:
    """The order of a value and the operand, read as the type of the value; None if they cannot be compared."""
    if isinstance(value, ObjectId):
        hexadecimal = isinstance(operand, str) and re.fullmatch("[0-9a-f]{24}", operand)
        return compared(str(value), operand) if hexadecimal else None
    if isinstance(value, datetime | DatetimeMS):
        at = nanoseconds(str(operand))
        return (
            None
            if at is None
            else compared(int(value if isinstance(value, DatetimeMS) else DatetimeMS(value)) * 10**6, at)
        )
    if isinstance(value, int | float | Decimal128) and not isinstance(value, bool):
        wanted = rational(str(operand))
        return None if wanted is None else ordered_numbers(value, wanted)
    return None


def nanoseconds(text: str) -> int | None:
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?", text)
    if found is None:
        return None
    fraction = found[3] or ""
    try:
        at = datetime.fromisoformat(text.replace(fraction, "") if fraction else text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp()) * 10**9 + int(Fraction("0" + (fraction or ".0")) * 10**9)


def rational(text: str) -> Fraction | float | None:
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    return Fraction(text) if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", text) else None


def ordered_numbers(value: Any, wanted: Fraction | float) -> int | None:
    """Compares doubles with the nearest double of a fraction, and everything else exactly."""
    held: Fraction | float
    if isinstance(value, Decimal128):
        decimal = value.to_decimal()
        held = Fraction(decimal) if decimal.is_finite() else float(decimal)
    else:
        held = Fraction(value) if math.isfinite(value) else value
        if isinstance(value, float) and isinstance(wanted, Fraction) and not is_long(wanted) and in_reach(wanted):
            wanted = Fraction(float(wanted))
    if held != held or wanted != wanted:
        return 0 if held != held and wanted != wanted else None
    return compared(held, wanted)


def is_long(wanted: Fraction) -> bool:
    return wanted.denominator == 1 and -(2**63) <= wanted < 2**63


def in_reach(wanted: Fraction) -> bool:
    """Whether the nearest double is neither infinite nor zero."""
    return Fraction(2**-1074) <= abs(wanted) <= Fraction(1.7976931348623157e308)
