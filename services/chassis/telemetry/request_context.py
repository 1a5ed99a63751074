"""The id that follows one request through gateway, services and logs, as gRPC metadata `x-request-id`."""

import uuid

import structlog

HEADER = "x-request-id"


def current() -> str:
    """The id of the request being handled, or a new one outside of any."""
    known = structlog.contextvars.get_contextvars().get("request_id")
    return str(known) if known else uuid.uuid4().hex


def begin(request_id: str | None) -> str:
    """Bind an id (a new one when None) to everything logged from here on in this task, and return it."""
    chosen = request_id or uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=chosen)
    return chosen
