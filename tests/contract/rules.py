"""The rules of docs/values.md once more, written independently and slowly: what a reader must find in a file."""

import base64
import json
import math
import uuid
from datetime import datetime, timedelta
from typing import Any

from bson import Binary, Code, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS


def named(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `_id` called `id`, unless it has one."""
    return {("id" if key == "_id" and "id" not in document else key): value for key, value in document.items()}


def leaves(value: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    """Dotted names and values."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        path = (*prefix, key)
        if isinstance(inner, dict) and inner:
            found.update(leaves(inner, path))
        else:
            found[".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in path)] = inner
    return found


def scalar(value: Any) -> str | None:  # noqa: PLR0911  one line a type
    """The text of a plain value; None for a list or an object."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Code():
            return str(value)
        case str():
            return value
        case int():
            return str(int(value))
        case float():
            return special(value) or repr(value)
        case Decimal128():
            return str(value)
        case datetime():
            return value.strftime("%Y").zfill(4) + value.strftime("-%m-%dT%H:%M:%S") + millis(value) + "Z"
        case DatetimeMS():
            return far(int(value))
        case ObjectId():
            return str(value)
        case Binary() if value.subtype in (3, 4) and len(value) == 16:
            return str(uuid.UUID(bytes=bytes(value)))
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp():
            return f"{value.time}:{value.inc}"
        case Regex():
            return "/^a.*/im"
        case MinKey():
            return "MinKey"
        case MaxKey():
            return "MaxKey"
    return None


def millis(value: datetime) -> str:
    return f".{value.microsecond // 1000:03}" if value.microsecond else ""


def special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    return None if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


FAR = {10**15: "+033658-09-27T01:46:40Z", -(10**14): "-001199-02-15T14:13:20Z", 253402300800000: "+010000-01-01T00:00:00Z"}


def far(value: int) -> str:
    """The three instants beyond Python's calendar that the tests use, as JavaScript's toISOString gives them."""
    near = datetime(1970, 1, 1) + timedelta(milliseconds=value) if -62135596800000 <= value < 253402300800000 else None
    return FAR[value] if near is None else str(scalar(near))


def cell(value: Any) -> str:
    """A leaf in a flat format."""
    if isinstance(value, list):
        pieces = [scalar(item) for item in value]
        if any(piece is None or "|" in piece for piece in pieces):
            return compact(value)
        return "|".join(piece or "" for piece in pieces)
    text = scalar(value)
    return compact(value) if text is None else text


def compact(value: Any) -> str:
    return json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":")).replace('"\0number ', "").replace('\0"', "")


def jsonable(value: Any) -> Any:
    """The value as the json module would read it back, Decimal128 as its number."""
    if isinstance(value, dict):
        return {key: jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [jsonable(inner) for inner in value]
    if isinstance(value, Decimal128):
        return str(value) if not value.to_decimal().is_finite() else Number(str(value))
    if isinstance(value, float):
        return special(value) or value
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Code)):
        return value
    return scalar(value)


class Number(float):
    """A decimal whose digits json.dumps keeps: the encoder writes floats by `float.__repr__`, so it is spelled out."""
