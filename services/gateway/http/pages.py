"""Lists page by page: which parameters they take, and what a request asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from multidict import MultiMapping

from services.gateway.errors import BadQuery
from services.gateway.http.route import Parameter

MOST_A_PAGE, A_PAGE = 200, 50
LIST_PARAMETERS = (
    Parameter("limit", "Items a page.", {"type": "integer", "minimum": 1, "maximum": MOST_A_PAGE, "default": A_PAGE}),
    Parameter("cursor", "`next_cursor` of the page before."),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """How many items, after which."""

    limit: int
    cursor: str


def page_asked(query: MultiMapping[str], parameters: Sequence[Parameter]) -> Asked:
    """The page a request asks for, once all its parameters are known ones.

    Raises:
        BadQuery: a parameter that is not among `parameters`, is given twice, or has no meaning.
    """
    known = {parameter.name for parameter in parameters}
    for name in query:
        if name not in known:
            raise BadQuery(name, f"is not a parameter of this list; there are {', '.join(sorted(known))}")
        if len(query.getall(name)) > 1:
            raise BadQuery(name, "is given more than once")
    limit = query.get("limit", str(A_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= MOST_A_PAGE):
        raise BadQuery("limit", f"must be a whole number from 1 to {MOST_A_PAGE}")
    return Asked(int(limit), query.get("cursor", ""))
