"""The rules of docs/values.md in an independent, slow implementation: what a reader must find in a file.

Works on documents as they are before they are encoded. Must not import what it checks.
"""

import base64
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Binary, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

Document = Mapping[str, Any]

FIRST_DATE = datetime(1900, 3, 1)
SMALLEST = 2.3e-308
CELL_UNITS = 32_767


# Names


def opened(value: Any) -> Any:
    """The value with DBRefs as ordinary objects, and dates within Python's range as datetime."""
    match value:
        case DBRef():
            return opened(dict(value.as_doc()))
        case dict():
            return {key: opened(inner) for key, inner in reference_first(value).items()}
        case list():
            return [opened(item) for item in value]
        case DatetimeMS() if -62_135_596_800_000 <= int(value) <= 253_402_300_799_999:
            return datetime(1970, 1, 1) + timedelta(milliseconds=int(value))
    return value


def reference_first(value: dict[str, Any]) -> dict[str, Any]:
    """A DBRef begins with `$ref`, `$id` and `$db`, whatever order it was stored in."""
    if not (isinstance(value.get("$ref"), str) and "$id" in value and isinstance(value.get("$db"), str | None)):
        return value
    first = {key: value[key] for key in ("$ref", "$id", "$db") if value.get(key) is not None or key == "$id"}
    return first | {key: inner for key, inner in value.items() if key not in ("$ref", "$id", "$db")}


def named(document: Document) -> dict[str, Any]:
    """The document with `_id` renamed to `id`, unless it has a field called `id`."""
    return {("id" if key == "_id" and "id" not in document else key): opened(value) for key, value in document.items()}


def paths(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Leaves by their keys."""
    found: dict[tuple[str, ...], Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            found.update(paths(inner, (*above, key)))
        else:
            found[(*above, key)] = inner
    return found


def dotted(path: Iterable[str]) -> str:
    return ".".join(re.sub(r"([\\.])", r"\\\1", key) for key in path)


def keys_of(name: str) -> tuple[str, ...]:
    """The keys of a dotted name; escaped characters are replaced by surrogates, which no key contains."""
    marked = name.replace("\\\\", "\ud800").replace("\\.", "\ud801").split(".")
    return tuple(key.replace("\ud800", "\\").replace("\ud801", ".") for key in marked)


def leaves(document: Document) -> dict[str, Any]:
    """Dotted names and values."""
    return {dotted(path): value for path, value in paths(named(document)).items()}


def written(document: Document, columns: Sequence[str]) -> dict[str, Any]:
    """The leaves that are written to a file with these columns: no empty object above one of them."""
    above = {keys_of(name)[:length] for name in columns for length in range(1, len(keys_of(name)))}
    return {name: value for name, value in leaves(document).items() if value != {} or keys_of(name) not in above}


# Columns


def is_below(path: Sequence[str], parent: Sequence[str]) -> bool:
    return tuple(path[: len(parent)]) == tuple(parent)


def together(seen: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The paths with those of the same parent next to each other, where the first of them is."""
    first: dict[tuple[str, ...], int] = {}
    for place, path in enumerate(seen):
        for length in range(1, len(path) + 1):
            first.setdefault(path[:length], place)
    return sorted(seen, key=lambda path: [first[path[:length]] for length in range(1, len(path) + 1)])


def columns(documents: Sequence[Document], include: Sequence[str] | None, exclude: Sequence[str]) -> list[str]:
    """The header of a flat format without remembered columns."""
    if include is not None:
        seen = shown([paths(named(document)) for document in documents])
        chosen = [[path for path in seen if is_below(path, keys_of(asked))] or [keys_of(asked)] for asked in include]
        return list(dict.fromkeys(dotted(path) for group in chosen for path in group))
    excluded = [keys_of(parent) for parent in exclude]
    kept = [
        {path: value for path, value in paths(named(document)).items() if not any(is_below(path, p) for p in excluded)}
        for document in documents
    ]
    return [dotted(path) for path in sorted(shown(kept), key=lambda path: path != ("id",))]


def shown(found: Sequence[Mapping[tuple[str, ...], Any]]) -> list[tuple[str, ...]]:
    """The paths that have a column: an empty object has none where other documents have fields below it."""
    seen = together(list(dict.fromkeys(path for each in found for path in each)))
    with_values = {path for each in found for path, value in each.items() if value != {}}
    return [path for path in seen if path in with_values or sum(is_below(other, path) for other in seen) == 1]


def selected(document: Document, include: Sequence[str] | None, exclude: Sequence[str]) -> dict[str, Any]:
    """The JSON of a document: the leaves of its columns, nested again."""
    nested: dict[str, Any] = {}
    found = paths(named(document))
    if include is None and not exclude:
        return named(document)
    for path in map(keys_of, columns([document], include, exclude)) if include is not None else found:
        if path not in found or any(is_below(path, keys_of(parent)) for parent in exclude):
            continue
        place = nested
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = found[path]
    return nested


# Text


def scalar(value: Any) -> str | None:
    """The text of a plain value; None for a list or an object."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return "".join(value)
        case int():
            return str(int(value))
        case float():
            return special(value) or repr(value)
        case Decimal128():
            return special(value.to_decimal()) or str(value.to_decimal())
        case datetime():
            day = f"{value.year:04}-{value.month:02}-{value.day:02}"
            return f"{day}T{value.hour:02}:{value.minute:02}:{value.second:02}{millis(value.microsecond // 1000)}"
        case DatetimeMS():
            return far(int(value))
        case ObjectId():
            return value.binary.hex()
        case Binary() if value.subtype in (3, 4) and len(value) == 16:
            return str(uuid.UUID(bytes=bytes(value)))
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp():
            return f"{value.time}:{value.inc}"
        case Regex():
            flags = zip("ilmsux", (re.I, re.L, re.M, re.S, re.U, re.X), strict=True)
            return f"/{value.pattern}/" + "".join(letter for letter, flag in flags if value.flags & flag)
        case MinKey():
            return "MinKey"
        case MaxKey():
            return "MaxKey"
    return None


def millis(value: int) -> str:
    return f".{value:03}Z" if value else "Z"


def special(value: float | Decimal) -> str | None:
    if value != value:
        return "NaN"
    infinity = type(value)("Infinity")
    return "Infinity" if value == infinity else "-Infinity" if value == -infinity else None


def far(value: int) -> str:
    """An instant beyond Python's calendar: days to civil date by Howard Hinnant's algorithm (chrono-compatible)."""
    days, rest = divmod(value, 86_400_000)
    shifted = days + 719_468
    era, of_era = divmod(shifted, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    day_of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    moon = (5 * day_of_year + 2) // 153
    day, month = day_of_year - (153 * moon + 2) // 5 + 1, moon + 3 if moon < 10 else moon - 9
    year = year_of_era + era * 400 + (month <= 2)
    shown = f"{year:04}" if year == 0 else f"{year:+07}"
    hours, minutes, seconds = rest // 3_600_000, rest // 60_000 % 60, rest // 1000 % 60
    return f"{shown}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{millis(rest % 1000)}"


def cell(value: Any) -> str:
    """A leaf in a flat format."""
    if isinstance(value, list):
        pieces = [scalar(item) for item in value]
        if any(piece is None or "|" in piece for piece in pieces):
            return compact(value)
        return "|".join(piece or "" for piece in pieces)
    text = scalar(value)
    return compact(value) if text is None else text


def harmless(value: Any) -> str:
    """A leaf in a flat format with `escape_formulas`."""
    text = cell(value)
    if value is None or isinstance(value, bool | int | float | Decimal128 | datetime | DatetimeMS):
        return text
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else text


# JSON


@dataclass(frozen=True)
class Number:
    """A JSON number as text, so that 12.10 is not 12.1."""

    text: str


@dataclass(frozen=True)
class Object:
    """A JSON object as its members in order."""

    members: tuple[tuple[str, Any], ...]


def parsed(text: str) -> Any:
    """JSON text as parsed by the json module, with numbers and objects as they are written."""
    return json.loads(
        text,
        parse_int=Number,
        parse_float=Number,
        parse_constant=lambda constant: 1 / 0,
        object_pairs_hook=lambda pairs: Object(tuple(pairs)),
    )


def json_value(value: Any) -> Any:
    """The expected result of `parsed` for a value."""
    if isinstance(value, dict):
        return Object(tuple((key, json_value(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return [json_value(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    text = scalar(value)
    is_number = isinstance(value, int | float | Decimal128) and text not in ("NaN", "Infinity", "-Infinity")
    return Number(text or "") if is_number else text


def compact(value: Any) -> str:
    """JSON text without spaces, with non-ASCII characters not escaped."""
    match json_value(value):
        case Object():
            return "{" + ",".join(f"{compact(str(key))}:{compact(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ",".join(compact(inner) for inner in value) + "]"
        case Number(text):
            return text
        case plain:
            return json.dumps(plain, ensure_ascii=False)


# Excel


def excel(value: Any) -> Any:
    """A leaf as a cell: None, bool, a number, datetime, or text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, datetime) and value >= FIRST_DATE:
        return value
    return number(value) if is_excel_number(value) else cut(cell(value)) or None


def number(value: Any) -> float:
    return float(value.to_decimal() if isinstance(value, Decimal128) else value)


def is_excel_number(value: Any) -> bool:
    """Whether Excel keeps the exact number: up to 15 digits, or any double that is finite and not subnormal."""
    match value:
        case int():
            return len(str(abs(value))) <= 15
        case Decimal128() if not value.to_decimal().is_nan():
            digits = "".join(map(str, value.to_decimal().as_tuple().digits)).rstrip("0")
            return len(digits) <= 15 and (value.to_decimal() == 0 or SMALLEST <= abs(number(value)) < math.inf)
        case float():
            return value == 0 or SMALLEST <= abs(value) < math.inf
    return False


def cut(text: str) -> str:
    """The part that fits into a cell, counted in UTF-16 code units."""
    units = 0
    for at, character in enumerate(text):
        units += 2 if ord(character) > 0xFFFF else 1
        if units > CELL_UNITS:
            return text[:at]
    return text
