"""Translates a filter to a MongoDB query that compares each value as every type it can be read as.

A number that no double represents exactly (12.1) is compared with doubles as the nearest double, and exactly with other
numbers. MongoDB has no such comparison for single elements of a list. In a list that also holds a double, `gt gte lt
lte` therefore miss a number between the value and its nearest double; such a number has at least 17 digits.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from services.exporter.requests.filters import readings
from services.exporter.requests.filters.conditions import Condition, Filter
from services.exporter.requests.filters.readings import Instant, Number, Plain
from services.exporter.transcode.values import parts

Query = dict[str, Any]


def to_query(wanted: Filter) -> Query:
    """The MongoDB query for a filter; `{}` for an empty one."""
    queries = [_anywhere(condition) for condition in wanted.conditions]
    if len(queries) > 1:
        return {"$and": queries}
    return queries[0] if queries else {}


def paths(name: str) -> tuple[str, ...]:
    """MongoDB's paths for a field name: `id` is the field `id` of a document, or its `_id` if it has no such field."""
    keys = parts(name)
    path = ".".join(keys)
    return (path, f"_{path}") if keys[0] == "id" else (path,)


def _anywhere(condition: Condition) -> Query:
    own, *identity = paths(condition.name)
    holds = _TRANSLATIONS[condition.operator]
    if not identity:
        return holds(own, condition.values)
    return {
        "$or": [
            {"$and": [{"id": {"$exists": True}}, holds(own, condition.values)]},
            {"$and": [{"id": {"$exists": False}}, holds(identity[0], condition.values)]},
        ]
    }


def _any_of(queries: Sequence[Query]) -> Query:
    return queries[0] if len(queries) == 1 else {"$or": list(queries)}


def _equal(path: str, values: Sequence[Plain]) -> Query:
    numbers = [found for value in values if (found := readings.number(value)) is not None]
    points = [point for value in values for point in _points(value)]
    branches: list[Query] = [{path: {"$in": [*points, *(found.exact for found in numbers)]}}]
    doubles = [found.double for found in numbers if found.double is not None]
    if doubles:
        branches.append({path: {"$in": doubles, "$type": "double"}})
    if None in values:
        branches.append({path: {"$exists": False}})
    return _any_of(branches)


def _points(value: Plain) -> list[Any]:
    """The value as every type except number."""
    at = readings.instant(value)
    candidates = [
        readings.text(value),
        readings.boolean(value),
        at.at if at is not None and not at.rest else None,
        readings.object_id(value),
        *readings.uuids(value),
    ]
    return [None] if value is None else [candidate for candidate in candidates if candidate is not None]


def _unequal(path: str, values: Sequence[Plain]) -> Query:
    return {"$nor": [_equal(path, values)]}


def _ordered(operator: str) -> Callable[[str, Sequence[Plain]], Query]:
    def compare(path: str, values: Sequence[Plain]) -> Query:
        (value,) = values
        same_type = [value if isinstance(value, str) else None, readings.object_id(value)]
        branches: list[Query] = [{path: {operator: other}} for other in same_type if other is not None]
        at, number = readings.instant(value), readings.number(value)
        if at is not None:
            branches.append({path: {_for_rest(operator, at): at.at}})
        if number is not None:
            branches += _ordered_numbers(path, operator, number)
        return _any_of(branches)

    return compare


def _for_rest(operator: str, at: Instant) -> str:
    """The operator for whole milliseconds, given a time that may lie between two of them."""
    return {"$gte": "$gt", "$lt": "$lte"}.get(operator, operator) if at.rest else operator


def _ordered_numbers(path: str, operator: str, number: Number) -> list[Query]:
    if number.double is None:
        return [{path: {operator: number.exact}}]
    strict = operator.removesuffix("e")
    double_is_farther = (Decimal(number.double) > number.value) == (strict == "$gt")
    branches: list[Query] = [
        {path: {strict: number.double if double_is_farther else number.exact}},  # true for numbers of any type
        {path: {operator: number.exact, "$not": {"$type": "double"}}},
    ]
    if operator != strict:
        branches.append({path: {"$eq": number.double, "$type": "double"}})
    return branches


def _exists(path: str, values: Sequence[Plain]) -> Query:
    return {path: {"$exists": values[0]}}


def _matching(start: str) -> Callable[[str, Sequence[Plain]], Query]:
    """Text search by an escaped regular expression."""

    def find(path: str, values: Sequence[Plain]) -> Query:
        return {path: {"$regex": start + re.escape(str(values[0])).replace("\0", "\\x00")}}

    return find


_TRANSLATIONS: dict[str, Callable[[str, Sequence[Plain]], Query]] = {
    "eq": _equal,
    "in": _equal,
    "ne": _unequal,
    "nin": _unequal,
    **{operator: _ordered(f"${operator}") for operator in ("gt", "gte", "lt", "lte")},
    "exists": _exists,
    "contains": _matching(""),
    "starts_with": _matching("^"),
}
