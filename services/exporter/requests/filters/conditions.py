"""Parses the `filters` of a request (names, operators, plain values) and describes what is wrong with them."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.exporter.requests.filters.readings import Plain, number
from services.exporter.transcode.values import parts

MAX_CONDITIONS = 50
MAX_VALUES = 1_000
MAX_NAME = 1_024
"""Characters in a name."""
MAX_DEPTH = 100
"""Keys in a dotted name; MongoDB's limit for nesting."""
MAX_SEARCHED = 1_000
"""Characters that `contains` and `starts_with` search for; MongoDB's limit is about 32,000 bytes, escaped."""
MAX_PROBLEMS = 20

LISTS = ("in", "nin")
ORDERED = ("gt", "gte", "lt", "lte")
TEXT_SEARCHES = ("contains", "starts_with")
OPERATORS = ("eq", "ne", *ORDERED, *LISTS, "exists", *TEXT_SEARCHES)


class FilterError(Exception):
    """Invalid filters; `problems` are pairs of field and message."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{where}: {what}" for where, what in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one field; only `in` and `nin` have more than one value."""

    name: str
    operator: str
    values: tuple[Plain, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...] = ()


def fields(wanted: Filter) -> tuple[str, ...]:
    """The names of the fields in a filter, each once, in the order of the request."""
    return tuple(dict.fromkeys(condition.name for condition in wanted.conditions))


def place(name: str) -> str:
    """Where a problem with this field is reported, such as `filters.price`; truncated, and valid UTF-8 for any name."""
    return f"filters.{shown(name)}"


def shown(text: str) -> str:
    """Text of the request as it appears in a message: truncated, and without what is not valid Unicode."""
    return text[:100].encode("utf-8", "replace").decode()


def parse_filter(raw: Mapping[str, Any]) -> Filter:
    """Parse a request's `filters`; numbers are int or Decimal.

    Raises:
        FilterError: with every field that is wrong, up to 20.
    """
    count = sum(len(operand) if isinstance(operand, Mapping) else 1 for operand in raw.values())
    if count > MAX_CONDITIONS:
        raise FilterError([("filters", f"has {count:,} conditions, at most {MAX_CONDITIONS} are allowed")])
    conditions: list[Condition] = []
    problems: list[tuple[str, str]] = []
    for name, operand in raw.items():
        problem = name_problem(name)
        if problem is not None:
            problems.append((place(name), problem))
            continue
        for operator, value in _operators(operand):
            problem = _problem(name, operator, value)
            if problem is None:
                conditions.append(Condition(name, operator, tuple(value) if operator in LISTS else (value,)))
            else:
                problems.append((place(name), problem))
    if problems:
        raise FilterError(problems[:MAX_PROBLEMS])
    return Filter(tuple(conditions))


def _operators(operand: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(operand, Mapping):
        yield "eq", operand
    elif operand:
        yield from operand.items()
    else:
        yield "", None


def name_problem(name: str) -> str | None:
    """Why MongoDB has no path for a field name, or None."""
    if len(name) > MAX_NAME:
        return f"the name has {len(name):,} characters, at most {MAX_NAME:,} are allowed"
    keys = parts(name)
    if any(key.startswith("$") for key in keys):
        return "names that begin with $ are not allowed; a filter is a field and a value, or an object of operators"
    if any("." in key for key in keys):
        return "a field whose key contains a dot (written \\.) cannot be filtered"
    if "" in keys or "\0" in name or not _is_utf8(name):
        return "is not a field name: every part between dots must be valid text"
    if len(keys) > MAX_DEPTH:
        return f"the name has {len(keys)} parts, at most {MAX_DEPTH} are allowed"
    return None


def _problem(name: str, operator: str, value: Any) -> str | None:
    """What is wrong with an operator and its value, or None."""
    if operator not in OPERATORS:
        return _unknown_operator(name, operator)
    if operator in LISTS:
        return _list_problem(operator, value)
    if operator == "exists":
        return None if isinstance(value, bool) else "exists takes true or false"
    if operator in TEXT_SEARCHES:
        return _search_problem(operator, value)
    if operator in ORDERED and (value is None or isinstance(value, bool)):
        return f"{operator} takes a number, text or a date"
    return _value_problem(operator, value)


def _unknown_operator(name: str, operator: str) -> str:
    if not operator:
        return f"needs a value or an object with one of {', '.join(OPERATORS)}"
    near = difflib.get_close_matches(operator[:100].lower(), OPERATORS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"a nested field is written {shown(name)}.{shown(operator)}"
    return f"{shown(operator)!r} is not an operator ({', '.join(OPERATORS)}); {hint}"


def _list_problem(operator: str, value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"{operator} takes a list of one or more values"
    if len(value) > MAX_VALUES:
        return f"{operator} has {len(value):,} values, at most {MAX_VALUES:,} are allowed"
    return next((problem for item in value if (problem := _value_problem(operator, item)) is not None), None)


def _search_problem(operator: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{operator} takes text"
    if len(value) > MAX_SEARCHED:
        return f"{operator} has {len(value):,} characters, at most {MAX_SEARCHED:,} are allowed"
    return _value_problem(operator, value)


def _value_problem(operator: str, value: Any) -> str | None:
    if isinstance(value, list):
        return 'a list needs an operator: {"in": [...]}' if operator == "eq" else f"{operator} takes no list"
    if isinstance(value, str):
        return None if _is_utf8(value) else "is not valid Unicode: unpaired surrogate"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return None if number(value) is not None else "a number has at most 34 digits and an exponent below 6,145"
    return f"{operator} takes a plain value, not an object"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
