"""Checks a filter's values against the types that its fields hold: a misspelt date is an error, not an empty file."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.exporter.requests.filters import readings
from services.exporter.requests.filters.conditions import (
    ORDERED,
    TEXT_SEARCHES,
    Condition,
    Filter,
    FilterError,
    place,
    shown,
)
from services.exporter.requests.filters.readings import Plain

TEXT = frozenset({"string", "symbol"})
NUMBERS = frozenset({"int", "long", "double", "decimal"})
BOOLEANS = frozenset({"bool"})
DATES = frozenset({"date"})
OBJECT_IDS = frozenset({"objectId"})
UUIDS = frozenset({"binData"})
OBJECTS = frozenset({"object"})
NOTHING = frozenset({"null", "undefined", "missing"})

_WORDS = (
    (TEXT, "text", "write the value in quotes"),
    (NUMBERS, "numbers", "write a number like 12.5"),
    (BOOLEANS, "true and false", "use eq with true or false"),
    (DATES, "dates", "write a date like 2026-03-15 or 2026-03-15T09:00:00Z"),
    (OBJECT_IDS, "ids", "write 24 hexadecimal digits"),
    (UUIDS, "UUIDs or bytes", "compare UUIDs only, with eq, ne, in or nin"),
    (OBJECTS, "objects", "name a field below it"),
)


@dataclass(frozen=True, slots=True)
class Misread:
    """A value that cannot be compared with anything its field holds; `kinds`: the types it can be read as."""

    name: str
    kinds: frozenset[str]
    message: str


def check_values(wanted: Filter, kinds: Mapping[str, frozenset[str]]) -> None:
    """Refuse values that cannot be read as any type their field holds.

    Args:
        kinds: MongoDB's names of the types that each field holds, also inside lists; a field without is not checked.

    Raises:
        FilterError: with a problem for each condition that has such a value.
    """
    found = misread(wanted, kinds)
    if found:
        raise FilterError([(place(wrong.name), wrong.message) for wrong in found])


def misread(wanted: Filter, kinds: Mapping[str, frozenset[str]]) -> tuple[Misread, ...]:
    """The values that `check_values` refuses; of each condition, the first one."""
    found = (_misread(condition, kinds.get(condition.name, frozenset())) for condition in wanted.conditions)
    return tuple(wrong for wrong in found if wrong is not None)


def _misread(condition: Condition, held: frozenset[str]) -> Misread | None:
    held -= NOTHING
    if not held or condition.operator == "exists":
        return None
    for value in condition.values:
        readable = _readable(condition.operator, value)
        if value is not None and not readable & held:
            return Misread(condition.name, readable, _message(condition.operator, value, held))
    return None


def _readable(operator: str, value: Plain) -> frozenset[str]:
    """The types that a value can be compared with."""
    if operator in TEXT_SEARCHES:
        return TEXT
    compared: dict[frozenset[str], object] = {
        NUMBERS: readings.number(value),
        DATES: readings.instant(value),
        OBJECT_IDS: readings.object_id(value),
    }
    if operator in ORDERED:
        compared[TEXT] = value if isinstance(value, str) else None
    else:
        compared |= {TEXT: value, BOOLEANS: readings.boolean(value), UUIDS: readings.uuids(value) or None}
    return frozenset().union(*(kinds for kinds, reading in compared.items() if reading is not None))


def _message(operator: str, value: Plain, held: frozenset[str]) -> str:
    fitting = [(words, advice) for kinds, words, advice in _WORDS if kinds & held]
    if not fitting:
        return "only exists can be used with the types of this field"
    words = " and ".join(words for words, _ in fitting)
    if operator in TEXT_SEARCHES:
        return f"{operator} searches text, but the field holds {words}"
    advice = " or ".join(advice for _, advice in fitting)
    return f"the field holds {words}, and {shown(str(value))!r} cannot be compared with that; {advice}"
