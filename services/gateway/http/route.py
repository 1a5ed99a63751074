"""Routes: a method and path, who may call it, what handles it, and what its documentation says."""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import cleandoc
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from services.gateway.answers.models import Answer

PREFIX = "/api/v1"
BYTES_TYPE = "application/octet-stream"
"""Media type of a file for clients that accept no other."""


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


LINK_PARAMETERS = (
    Parameter("tenant", "Of a signed link: whose file it is. Use the whole `file_url` of the job."),
    Parameter("key", "Of a signed link: the id of the API key that it was made with."),
    Parameter("expires", "Of a signed link: when it ends, in Unix time.", {"type": "integer", "format": "int64"}),
    Parameter(
        "signature",
        "Of a signed link: proves that it was made here.",
        {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    ),
)
"""The parameters of a signed link, which replace the API key; all of them are needed."""


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
        headers: of successful responses, besides those of every response.
        name: of the handling method; the document's `operationId` in camel case.
        summary, description: the first line of the method's docstring, and the paragraphs that follow.
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
    is_file_sent: bool = False
    """The body is a file. Generated clients can send it as plain bytes, so the document has only these."""
    faults: Sequence[int] = ()
    is_file: bool = False
    also: tuple[int, type[Answer]] | None = None
    """A second kind of successful response."""
    is_event_stream: bool = False
    """Each event's data is the answer's model."""
    also_media_type: str = ""
    """A second media type of successful responses, as text."""
    has_etag: bool = False
    """It shows one resource; the response has an ETag, and a change may require it (`http/etags.py`)."""
    allows_link: bool = False
    """A signed link is accepted instead of a key."""
    action: str = ""
    headers: Sequence[str] = ()
    name: str = ""
    summary: str = ""
    description: str = ""
    handle: Handle = _unbound

    @property
    def ids(self) -> Sequence[str]:
        """The names of the ids in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{") and part != "{format}"]

    @property
    def has_body(self) -> bool:
        """Whether requests have a body."""
        return self.takes_options or self.body is not None or self.is_file_sent

    @property
    def models(self) -> Sequence[type[Answer]]:
        """The models of successful responses."""
        return [model for _, model in (self.answer, *([self.also] if self.also else [])) if model is not None]

    def __call__(self, method: Method) -> Method:
        """Mark the method as the handler of this route."""
        method.route = self  # type: ignore[attr-defined]
        return method


def routes_of(resource: object) -> list[Route]:
    """The routes whose handlers are methods of an object, in the order of their definition."""
    return [
        _bound(method.route, name, getattr(resource, name))
        for name, method in vars(type(resource)).items()
        if hasattr(method, "route")
    ]


def _bound(route: Route, name: str, handle: Handle) -> Route:
    summary, *paragraphs = cleandoc(handle.__doc__ or "").split("\n\n")
    kept = itertools.takewhile(lambda text: not text.startswith(("Raises:", "Args:")), paragraphs)
    return replace(route, name=name, summary=summary.rstrip("."), description="\n\n".join(kept), handle=handle)


def respond(answer: Answer, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with the answer as its body, which ends with a newline for people at a terminal."""
    return web.json_response(text=f"{answer.text()}\n", status=status, headers=headers)
