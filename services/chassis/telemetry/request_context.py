"""The id of a request in the gateway, the services and the logs (gRPC metadata `x-request-id`), and its caller."""

import uuid

import structlog

HEADER = "x-request-id"


def current() -> str:
    """The id of the current request, or a new one outside of requests."""
    known = structlog.contextvars.get_contextvars().get("request_id")
    return str(known) if known else uuid.uuid4().hex


def caller() -> str:
    """The name of the service that made the current gRPC call (`rpc.callers`); empty outside of calls."""
    return str(structlog.contextvars.get_contextvars().get("caller", ""))


def begin(request_id: str | None, *, caller: str | None = None) -> str:
    """Bind an id (None: a new one), and the caller if there is one, to all further logs of this task; return the id."""
    chosen = request_id or uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=chosen, **({"caller": caller} if caller is not None else {}))
    return chosen
