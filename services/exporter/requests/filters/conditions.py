"""Understands the `filters` of a request: names, operators and plain values, and says what is wrong with the others."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.exporter.requests.filters.readings import Plain, number
from services.exporter.transcode.values import parts

MOST_CONDITIONS = 50
MOST_VALUES = 1_000
LONGEST_NAME = 1_024
DEEPEST_NAME = 100
"""Keys in a dotted name; MongoDB nests documents no deeper."""
LONGEST_PIECE = 1_000
"""Characters `contains` and `starts_with` look for; MongoDB's limit is about 32,000 bytes, escaped."""
MOST_PROBLEMS = 20

LISTS = ("in", "nin")
ORDERED = ("gt", "gte", "lt", "lte")
PIECES = ("contains", "starts_with")
OPERATORS = ("eq", "ne", *ORDERED, *LISTS, "exists", *PIECES)


class FilterError(Exception):
    """Filters that cannot be carried out; `problems` are pairs of field and message."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{where}: {what}" for where, what in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one field; `values` is a single value but for `in` and `nin`."""

    name: str
    operator: str
    values: tuple[Plain, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...] = ()


def fields(wanted: Filter) -> tuple[str, ...]:
    """The names of the fields a filter looks at, each once, in the request's order."""
    return tuple(dict.fromkeys(condition.name for condition in wanted.conditions))


def place(name: str) -> str:
    """Where a problem with this field is reported: `filters.price`, cut and printable whatever the name is."""
    return f"filters.{shown(name)}"


def shown(text: str) -> str:
    """A text of the request for a message: cut, and without what cannot be sent as UTF-8."""
    return text[:100].encode("utf-8", "replace").decode()


def parse_filter(raw: Mapping[str, Any]) -> Filter:
    """Understand a request's `filters`; numbers come as int or Decimal.

    Raises:
        FilterError: naming every field that is wrong (the first 20).
    """
    count = sum(len(operand) if isinstance(operand, Mapping) else 1 for operand in raw.values())
    if count > MOST_CONDITIONS:
        raise FilterError([("filters", f"has {count:,} conditions, at most {MOST_CONDITIONS} are possible")])
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
        raise FilterError(problems[:MOST_PROBLEMS])
    return Filter(tuple(conditions))


def _operators(operand: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(operand, Mapping):
        yield "eq", operand
    elif operand:
        yield from operand.items()
    else:
        yield "", None


def name_problem(name: str) -> str | None:
    """Why MongoDB has no path for the name of a field, or None."""
    if len(name) > LONGEST_NAME:
        return f"the name has {len(name):,} characters, at most {LONGEST_NAME:,} are possible"
    keys = parts(name)
    if any(key.startswith("$") for key in keys):
        return "names that begin with $ are not possible; a filter is a field and a value, or an object of operators"
    if any("." in key for key in keys):
        return "a field whose own key has a dot (written \\.) cannot be filtered"
    if "" in keys or "\0" in name or not _is_utf8(name):
        return "is no field name: every part between dots must be text"
    if len(keys) > DEEPEST_NAME:
        return f"the name has {len(keys)} parts, at most {DEEPEST_NAME} are possible"
    return None


def _problem(name: str, operator: str, value: Any) -> str | None:
    """What is wrong with one operator and its value, or None."""
    if operator not in OPERATORS:
        return _unknown_operator(name, operator)
    if operator in LISTS:
        return _list_problem(operator, value)
    if operator == "exists":
        return None if isinstance(value, bool) else "exists takes true or false"
    if operator in PIECES:
        return _piece_problem(operator, value)
    if operator in ORDERED and (value is None or isinstance(value, bool)):
        return f"{operator} takes a number, a text or a date"
    return _value_problem(operator, value)


def _unknown_operator(name: str, operator: str) -> str:
    if not operator:
        return f"needs a value or an object with one of {', '.join(OPERATORS)}"
    near = difflib.get_close_matches(operator[:100].lower(), OPERATORS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"a nested field is written {shown(name)}.{shown(operator)}"
    return f"{shown(operator)!r} is no operator ({', '.join(OPERATORS)}); {hint}"


def _list_problem(operator: str, value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"{operator} takes a list of one or more values"
    if len(value) > MOST_VALUES:
        return f"{operator} has {len(value):,} values, at most {MOST_VALUES:,} are possible"
    return next((problem for item in value if (problem := _value_problem(operator, item)) is not None), None)


def _piece_problem(operator: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{operator} takes a text"
    if len(value) > LONGEST_PIECE:
        return f"{operator} has {len(value):,} characters, at most {LONGEST_PIECE:,} are possible"
    return _value_problem(operator, value)


def _value_problem(operator: str, value: Any) -> str | None:
    if isinstance(value, list):
        return 'a list needs an operator: {"in": [...]}' if operator == "eq" else f"{operator} takes no list inside"
    if isinstance(value, str):
        return None if _is_utf8(value) else "is no text: it has half of a surrogate pair"
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
