"""Reads `--filter` and `--option`: text of the command line as members of a request. Pure."""

import json
import re
from collections.abc import Iterable
from typing import Any

SYMBOLS = {
    ">=": "gte",
    "<=": "lte",
    "!=": "ne",
    "*=": "contains",
    "^=": "starts_with",
    "=": "eq",
    ">": "gt",
    "<": "lt",
}
WORDS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists", "contains", "starts_with")
_CONDITION = re.compile(
    rf"\s*(?P<field>\S(?:.*?\S)??)(?:\s*(?P<symbol>{'|'.join(map(re.escape, SYMBOLS))})\s*"
    rf"|\s+(?P<word>{'|'.join(sorted(WORDS, key=len, reverse=True))})\s+)(?P<value>.*)",
    re.DOTALL,
)


class BadWord(ValueError):
    """A word of the command line that cannot be read; the message says why."""


def filters(conditions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The `filters` of a request: `price>=30`, `brand in Acme,Zen`, `name contains bag`, `ean exists true`.

    Values are sent as text, since the API reads them as the type of the field.

    Raises:
        BadWord: a condition is malformed or repeated.
    """
    found: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise BadWord(
                f"{condition!r} is not a condition: write FIELD=VALUE, FIELD>=VALUE or FIELD {'|'.join(WORDS)} VALUE"
            )
        operator = SYMBOLS[match["symbol"]] if match["symbol"] else match["word"]
        operators = found.setdefault(match["field"], {})
        if operator in operators:
            raise BadWord(f"{match['field']} has two conditions with {operator}")
        operators[operator] = _operand(operator, match["value"].strip(), condition)
    return found


def _operand(operator: str, text: str, condition: str) -> Any:
    if operator == "exists":
        if text not in ("true", "false"):
            raise BadWord(f"{condition!r}: exists takes true or false")
        return text == "true"
    if operator in ("in", "nin"):
        return _list(text)
    if operator in ("eq", "ne") and text == "null":
        return None
    if text.startswith('"') and isinstance(quoted := _json(text), str):
        return quoted
    return text


def _list(text: str) -> list[Any]:
    if text.startswith("[") and isinstance(found := _json(text), list):
        return found
    return words([text])


def words(texts: Iterable[str]) -> list[str]:
    """Values separated by commas, of an option that may be repeated."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def members(assignments: Iterable[str], *, is_json: bool) -> dict[str, Any]:
    """`name=value` as members; with `is_json`, values that are JSON are read as such, and others are text.

    Raises:
        BadWord: one has no name, or a name is repeated.
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or not name.strip():
            raise BadWord(f"{assignment!r}: write NAME=VALUE")
        if name.strip() in found:
            raise BadWord(f"{name.strip()} is given twice")
        found[name.strip()] = _json(text) if is_json else text
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
