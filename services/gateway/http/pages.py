"""Pages of lists: the parameters a list takes, and what a request asks for."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web
from multidict import MultiMapping

from services.chassis.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from services.gateway.answers.models import Page
from services.gateway.errors import BadQuery
from services.gateway.http.route import Parameter

LIMIT_PARAMETER = Parameter(
    "limit",
    "Items per page.",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
)
CURSOR_PARAMETER = Parameter(
    "cursor", "`next_cursor` of the previous page.", {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"}
)
LIST_PARAMETERS = (LIMIT_PARAMETER, CURSOR_PARAMETER)
CREATED_PARAMETERS = (
    Parameter(
        "created_after", "Only what was created at this time or later.", {"type": "string", "format": "date-time"}
    ),
    Parameter("created_before", "Only what was created earlier.", {"type": "string", "format": "date-time"}),
    Parameter(
        "sort",
        "The order, by the time of creation; `-`: newest first. The same for all pages of a list.",
        {"type": "string", "enum": ["-created_at", "created_at"], "default": "-created_at"},
    ),
)
ACTIVE_PARAMETER = Parameter("is_active", "Only active ones, or only inactive ones.", {"type": "boolean"})
MAX_NUMBER = 2**53 - 1
"""The largest whole number that every JSON parser keeps exactly."""

Number = TypeVar("Number", bound=int)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many items, and after which one."""

    limit: int
    cursor: str


def requested_page(query: MultiMapping[str]) -> PageRequest:
    """The page that a request asks for.

    Raises:
        BadQuery: a parameter has an invalid value.
    """
    return PageRequest(whole_number(query, "limit", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE), query.get("cursor", ""))


def check_parameters(query: MultiMapping[str], parameters: Sequence[Parameter]) -> None:
    """Raise BadQuery for a parameter that is unknown or repeated."""
    known = sorted(parameter.name for parameter in parameters if parameter.where == "query")
    for name in query:
        if name not in known:
            raise BadQuery(name, f"is not a parameter of this route; known parameters: {', '.join(known) or 'none'}")
        if len(query.getall(name)) > 1:
            raise BadQuery(name, "is given more than once")


def whole_number(query: MultiMapping[str], name: str, default: int, maximum: int) -> int:
    """A parameter that is a whole number from 1 to `maximum`.

    Raises:
        BadQuery: it is anything else.
    """
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= maximum):
        raise BadQuery(name, f"must be a whole number from 1 to {maximum}")
    return int(text)


def number_from_zero(query: MultiMapping[str], name: str) -> int:
    """A parameter that is a whole number from 0 on; 0 when it is absent.

    Raises:
        BadQuery: it is anything else.
    """
    text = query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER)) and int(text) <= MAX_NUMBER):
        raise BadQuery(name, "must be a whole number from 0 on")
    return int(text)


def time_of(query: MultiMapping[str], name: str) -> datetime | None:
    """A parameter that is a time with an offset, as RFC 3339 has it; None when it is absent.

    Raises:
        BadQuery: it is anything else.
    """
    text = query.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        text = "must be a time with its offset, such as 2026-03-15T09:00:00Z; write + as %2B"
        raise BadQuery(name, text) from exc


def id_of(query: MultiMapping[str], name: str) -> str:
    """A parameter that is the id of a resource with the same name; empty when it is absent.

    Raises:
        BadQuery: it is no UUID.
    """
    try:
        return str(uuid.UUID(query[name])) if name in query else ""
    except ValueError as exc:
        raise BadQuery(name, f"must be a {name}'s id, a UUID") from exc


def is_oldest_first(query: MultiMapping[str]) -> bool:
    """Whether `sort` asks for the oldest first.

    Raises:
        BadQuery: it asks for something else.
    """
    text = query.get("sort", "-created_at")
    if text not in ("-created_at", "created_at"):
        raise BadQuery("sort", "must be -created_at or created_at")
    return text == "created_at"


def flag(query: MultiMapping[str], name: str) -> bool | None:
    """A parameter that is true or false; None when it is absent.

    Raises:
        BadQuery: it is anything else.
    """
    text = query.get(name)
    if text not in (None, "true", "false"):
        raise BadQuery(name, "must be true or false")
    return None if text is None else text == "true"


def chosen(query: MultiMapping[str], name: str, known: Mapping[Number, str]) -> list[Number]:
    """The values that the words of a parameter, separated by commas, stand for; none when it is absent.

    Raises:
        BadQuery: a word is unknown.
    """
    words = query[name].split(",") if name in query else []
    if unknown := [word for word in words if word not in known.values()]:
        raise BadQuery(name, f"has {unknown[0][:50]!r}, must be of {', '.join(sorted(set(known.values())))}")
    return [value for value, word in known.items() if word in words]


def one_of(words: Iterable[str]) -> Mapping[str, Any]:
    """The schema of a parameter for `chosen`."""
    return {"type": "array", "items": {"type": "string", "enum": sorted(set(words))}, "minItems": 1}


def next_link(request: web.Request, answer: object) -> Mapping[str, str]:
    """The header `Link` (RFC 8288) of a page that is not the last one."""
    if not isinstance(answer, Page) or answer.next_cursor is None:
        return {}
    following = request.rel_url.update_query(cursor=answer.next_cursor)
    return {"Link": f'<{following}>; rel="next"'}
