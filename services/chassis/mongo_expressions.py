"""Expressions, conditions and updates that the stores of several services need. Pure.

Times are the server's (`$$NOW`), so that replicas with different clocks agree.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

Expression = dict[str, Any]

NOW = "$$NOW"


def later(seconds: float) -> Expression:
    """An expression: `seconds` from now."""
    return {"$add": [NOW, int(seconds * 1_000)]}


def literal(value: object) -> Expression:
    """An expression whose value is `value`, whatever `$` it contains."""
    return {"$literal": value}


def among(states: Iterable[str]) -> Expression:
    """A condition: the document is in one of these states."""
    return {"state": {"$in": sorted(states)}}


def between(field: str, since: datetime | None, until: datetime | None) -> Expression:
    """A condition: the time in `field` is at or after `since` and before `until`; None: there is no such limit."""
    limits = {name: value for name, value in (("$gte", since), ("$lt", until)) if value is not None}
    return {field: limits} if limits else {}


def contains(field: str, text: str) -> Expression:
    """A condition: `field` contains the text, in upper or lower case; none for an empty text."""
    return {field: {"$regex": re.escape(text), "$options": "i"}} if text else {}


def is_due(field: str) -> Expression:
    """A condition: the time in `field` has come."""
    return {field: {"$type": "date"}, "$expr": {"$lte": [f"${field}", NOW]}}


def seconds_since(field: str | Expression) -> Expression:
    """An expression: the age in seconds of the time that `field` (`$name` or an expression) holds."""
    return {"$divide": [{"$subtract": [NOW, field]}, 1_000]}


def difference(before: Expression, after: Expression) -> Expression:
    """The update that turns the fields of `before` into those of `after` and leaves all others alone.

    Both are documents with the fields this version knows. Embedded documents are compared field by field, so that
    fields which a newer version has added stay as they are. Lists are replaced as a whole.
    """
    changed: Expression = {}
    removed: Expression = {}
    _compare(before, after, "", changed, removed)
    return {operator: fields for operator, fields in (("$set", changed), ("$unset", removed)) if fields}


def _compare(before: Expression, after: Expression, prefix: str, changed: Expression, removed: Expression) -> None:
    removed.update({prefix + name: "" for name in before if name not in after})
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            _compare(old, value, f"{prefix}{name}.", changed, removed)
        elif name not in before or old != value or type(old) is not type(value):
            changed[prefix + name] = value
