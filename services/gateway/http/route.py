"""What a route is: method, path, who may call it, what it does and what its documentation says, in one row."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the tenant whose data it is about."""

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
        scope: what the caller's key must allow.
        answer: status of the good answer and its model; None: no body, or a file.
        faults: statuses of problems that are special to this route.
    """

    method: str
    path: str
    handle: Handle
    scope: str
    summary: str
    answer: tuple[int, type[BaseModel] | None]
    parameters: Sequence[Parameter] = ()
    takes_options: bool = False
    """The body is a format's options: the path's `{format}` says which."""
    body: type[BaseModel] | None = None
    """The model that checks the body."""
    faults: Sequence[int] = ()
    is_file: bool = False
    allows_link: bool = False
    """A signed link does instead of a key."""
