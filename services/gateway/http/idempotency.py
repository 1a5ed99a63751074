"""The Idempotency-Key header, which makes it safe to repeat a request."""

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from services.chassis.faults import Fault, Kind
from services.gateway.errors import BadQuery, KeyReused
from services.gateway.http.route import Parameter

KEY_HEADER = "Idempotency-Key"
KEY_PARAMETER = Parameter(
    KEY_HEADER,
    "Makes it safe to repeat a request: the same key and body return what the first request made; another body is "
    "rejected.",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    where="header",
)
# A structured-field string (draft-ietf-httpapi-idempotency-key-header) or the plain text that most clients send.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


REPLAYED: Mapping[str, str] = {"Idempotent-Replayed": "true"}
"""The header of a response to a repeated request."""


def chosen_id(kind: str, tenant: str, key: str) -> str:
    """The id of what a request creates: derived from its key, or a new one without a key."""
    if not key:
        return str(uuid.uuid4())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"catalog-exports:{kind}:{tenant}:{key}"))


@contextmanager
def naming_the_key(key: str) -> Iterator[None]:
    """Around a call with a `chosen_id`: that the id belongs to something else is told of the key.

    Raises:
        KeyReused: the key was used for a different request.
    """
    try:
        yield
    except Fault as fault:
        if key and fault.kind is Kind.MISMATCH:
            raise KeyReused from fault
        raise


def idempotency_key(request: web.Request) -> str:
    """The request's key; empty when it has none.

    Raises:
        BadQuery: the key is malformed.
    """
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise BadQuery(KEY_HEADER, "must be 1 to 255 printable ASCII characters without spaces")
    return key
