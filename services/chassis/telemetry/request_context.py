"""The id of a request in the gateway, the services and the logs; gRPC metadata `x-request-id`."""

import uuid

import structlog

HEADER = "x-request-id"


def current() -> str:
    """The id of the current request, or a new one outside of requests."""
    known = structlog.contextvars.get_contextvars().get("request_id")
    return str(known) if known else uuid.uuid4().hex


def begin(request_id: str | None) -> str:
    """Bind an id (None: a new one) to all further logs of this task, and return it."""
    chosen = request_id or uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=chosen)
    return chosen
