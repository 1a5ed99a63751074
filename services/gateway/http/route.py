"""Routes: a method and path, who may call it, what handles it, and what its documentation says."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from services.gateway.answers.models import Answer

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the tenant, and the id of the API key or of the key that the signed link was made with."""

    tenant: str
    key_id: str


Handle = Callable[[web.Request, Caller], Awaitable[web.StreamResponse | Answer | None]]
"""Handles a request. An `Answer` is sent with the status of its route; None is a response without a body."""
Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header of a route."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"


async def _unbound(request: web.Request, caller: Caller) -> None:
    raise NotImplementedError("the routes that can be called are those of `routes_of`")


@dataclass(frozen=True, slots=True)
class Route:
    """One route below `/api/v1`; decorates the method that handles it.

    Args:
        scope: the scope that the caller's key must have; empty: every key may call it.
        answer: status and model of a successful response; None: no body, or a file.
        faults: statuses of this route's problems, besides those of every route or of every body.
        action: what the audit log records of a call; empty: it changes nothing.
        summary: the first sentence of the method's docstring.
    """

    method: str
    path: str
    scope: str
    answer: tuple[int, type[Answer] | None]
    parameters: Sequence[Parameter] = ()
    takes_options: bool = False
    """The body holds the options of the format in the path's `{format}`."""
    body: type[BaseModel] | None = None
    """The model that checks the body."""
    faults: Sequence[int] = ()
    is_file: bool = False
    also: tuple[int, type[Answer]] | None = None
    """A second kind of successful response."""
    is_event_stream: bool = False
    """Each event's data is the answer's model."""
    allows_link: bool = False
    """A signed link is accepted instead of a key."""
    action: str = ""
    summary: str = ""
    handle: Handle = _unbound

    def __call__(self, method: Method) -> Method:
        """Mark the method as the handler of this route."""
        method.route = self  # type: ignore[attr-defined]
        return method


def routes_of(resource: object) -> list[Route]:
    """The routes whose handlers are methods of an object, in the order of their definition."""
    return [
        replace(method.route, handle=getattr(resource, name), summary=method.__doc__.splitlines()[0].rstrip("."))
        for name, method in vars(type(resource)).items()
        if hasattr(method, "route")
    ]


def respond(answer: Answer, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with the answer as its body, which ends with a newline for people at a terminal."""
    return web.json_response(text=f"{answer.text()}\n", status=status, headers=headers)
