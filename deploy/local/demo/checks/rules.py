"""The expected content of files, written from docs/values.md alone and independent of the exporter's code.

Covers only the types in the demo catalogue: text, numbers, booleans, dates, objects, lists and null.
"""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Decimal128, Int64

EXCEL_DIGITS = 15
EXCEL_DAY_ONE = datetime(1900, 3, 1)
# A spreadsheet stores a date as a double of days, exact to a millisecond.
EXCEL_INSTANT = timedelta(milliseconds=1)

Leaves = dict[str, Any]
"""Values by dotted name."""


def leaves(document: dict[str, Any], above: str = "") -> Leaves:
    """All values except non-empty objects, with `_id` renamed to `id`."""
    found: Leaves = {}
    for key, value in document.items():
        name = "id" if key == "_id" else f"{above}{key}"
        found.update(leaves(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return found


def without_empty_parents(documents: list[Leaves]) -> list[Leaves]:
    """As in a table: an empty object is not shown where another document has fields below it."""
    parents = {name[:at] for document in documents for name in document for at, sign in enumerate(name) if sign == "."}
    return [
        {name: value for name, value in document.items() if value != {} or name not in parents}
        for document in documents
    ]


def columns(documents: list[Leaves]) -> set[str]:
    """The names of all leaves."""
    return {name for document in documents for name in document}


def text(value: Any) -> str:
    """A leaf as text in a CSV file."""
    if isinstance(value, list):
        pieces = [text(item) for item in value]
        nested = any(isinstance(item, list | dict) for item in value) or any("|" in piece for piece in pieces)
        return json_text(value) if nested else "|".join(pieces)
    if isinstance(value, dict):
        return json_text(value)
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    return instant(value) if isinstance(value, datetime) else str(value)


def instant(value: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds unless they are zero."""
    millis = f".{value.microsecond // 1000:03}" if value.microsecond else ""
    return f"{value:%Y-%m-%dT%H:%M:%S}{millis}Z"


def json_text(value: Any) -> str:
    """Compact JSON with unescaped non-ASCII characters; the catalogue has no decimals in lists."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=instant)


def is_in_text(expected: Any, found: Any) -> bool:
    """Whether a cell of a CSV file is correct."""
    return bool(text(expected) == found)


def is_in_excel(expected: Any, found: Any) -> bool:
    """Whether a cell of a worksheet has the right value and type."""
    if isinstance(expected, bool):
        return found is expected
    if isinstance(expected, datetime) and (bare := expected.replace(tzinfo=None)) >= EXCEL_DAY_ONE:
        return isinstance(found, datetime) and abs(found - bare) < EXCEL_INSTANT
    if isinstance(expected, int | float | Decimal128) and _digits(expected) <= EXCEL_DIGITS:
        return isinstance(found, float) and found == float(str(expected))
    return isinstance(found, str) and found == text(expected)


def is_in_json(expected: Any, found: Any) -> bool:
    """Whether a value of a JSON file, read with exact decimals, is correct: type, digits, nesting and key order."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and list(found) == list(expected)
            and all(is_in_json(value, found[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(is_in_json(one, other) for one, other in zip(expected, found, strict=True))
        )
    if isinstance(expected, Decimal128):
        return isinstance(found, int | Decimal) and str(found) == str(expected)
    if isinstance(expected, float):
        return isinstance(found, Decimal) and float(found) == expected
    if isinstance(expected, datetime):
        return bool(found == instant(expected))
    kind = int if isinstance(expected, Int64) else type(expected)
    return type(found) is kind and found == expected


def _digits(number: int | float | Decimal128) -> int:
    """The digits a spreadsheet has to keep; 0 for a double, which it stores as it is."""
    if isinstance(number, float):
        return 0
    if isinstance(number, int):
        return len(str(abs(number)))
    return len(Decimal(str(number)).normalize().as_tuple().digits)


def is_in_xml(expected: Any, found: Any) -> bool:
    """Whether an element of an XML file is correct; null and what is empty are empty elements."""
    if isinstance(expected, dict) and expected:
        return (
            isinstance(found, dict)
            and list(found) == list(expected)
            and all(is_in_xml(value, found[key]) for key, value in expected.items())
        )
    if isinstance(expected, list) and expected:
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(is_in_xml(one, other) for one, other in zip(expected, found, strict=True))
        )
    return bool(found == ("" if expected in ({}, []) else text(expected)))


def is_in_parquet(expected: Any, found: Any) -> bool:
    """Whether a cell of a Parquet file is correct: typed, or text in a column of several types."""
    if expected is None or found is None:
        return expected is found
    if isinstance(found, str):
        return found == text(expected)
    if isinstance(found, list):
        return (
            isinstance(expected, list)
            and len(found) == len(expected)
            and all(is_in_parquet(one, other) for one, other in zip(expected, found, strict=True))
        )
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
        return not isinstance(expected, bool) and Decimal(str(expected)) == Decimal(str(found))
    if isinstance(found, datetime):
        return isinstance(expected, datetime) and found.replace(tzinfo=None) == expected.replace(tzinfo=None)
    return found is expected
