"""Pages of lists: the parameters a list takes, and what a request asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from multidict import MultiMapping

from services.chassis.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from services.gateway.errors import BadQuery
from services.gateway.http.route import Parameter

LIST_PARAMETERS = (
    Parameter(
        "limit",
        "Items per page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    ),
    Parameter("cursor", "`next_cursor` of the previous page."),
)


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
