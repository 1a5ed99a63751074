"""The Idempotency-Key header, which makes it safe to repeat a request."""

import re

from aiohttp import web

from services.gateway.errors import BadQuery
from services.gateway.http.route import Parameter

KEY_HEADER = "Idempotency-Key"
KEY_PARAMETER = Parameter(
    KEY_HEADER,
    "Makes it safe to repeat a request: the same key and body return the same job; another body is rejected.",
    {"type": "string", "minLength": 1, "maxLength": 255},
    where="header",
)
# A structured-field string (draft-ietf-httpapi-idempotency-key-header) or the plain text that most clients send.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


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
