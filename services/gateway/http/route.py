"""A route: its method and path, who may call it, what it does, and what its documentation says."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the tenant, and the id of the API key or of the key that the signed link was made with."""

    tenant: str
    key_id: str


Handle = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header of a route."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """One route below `/api/v1`.

    Args:
        scope: the scope that the caller's key must have; empty: every key may call it.
        answer: status and model of a successful response; None: no body, or a file.
        faults: statuses of this route's problems, besides those of every route or of every body.
    """

    method: str
    path: str
    handle: Handle
    scope: str
    summary: str
    answer: tuple[int, type[BaseModel] | None]
    parameters: Sequence[Parameter] = ()
    takes_options: bool = False
    """The body holds the options of the format in the path's `{format}`."""
    body: type[BaseModel] | None = None
    """The model that checks the body."""
    faults: Sequence[int] = ()
    is_file: bool = False
    allows_link: bool = False
    """A signed link is accepted instead of a key."""
