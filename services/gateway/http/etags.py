"""ETags of resources: a client keeps what it has read (`If-None-Match`), or changes only that (`If-Match`).

The ETag is a hash of the body. A change is also bound to the resource's `updated_at`, so that a change that another
client makes between the comparison and this one is noticed by the service.
"""

import hashlib
from datetime import datetime

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.faults import Outdated
from services.chassis.timestamps import to_timestamp
from services.gateway.answers.models import Answer
from services.gateway.http.route import Parameter

IF_NONE_MATCH = Parameter(
    "If-None-Match", "The ETag of what you already have; 304 if it is still the same.", where="header"
)
IF_MATCH = Parameter("If-Match", "The ETag of what you have read; 412 if it has changed since.", where="header")
_EXPECTED = web.RequestKey("expected_updated_at", datetime)
"""When the resource of the request has to have been changed last."""


def etag_of(text: str) -> str:
    """The ETag of a body."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the client already has what has this ETag."""
    return _names(request, "If-None-Match", etag)


def body_of(answer: web.StreamResponse | Answer | None) -> str | None:
    """The body of a response that shows a resource; None of any other."""
    if isinstance(answer, Answer):
        return answer.text()
    if isinstance(answer, web.Response) and answer.status == 200 and answer.text is not None:
        return answer.text.rstrip("\n")
    return None


def expect(request: web.Request, answer: web.StreamResponse | Answer | None) -> None:
    """Note that the change is only wanted for this version of the resource.

    Raises:
        Outdated: the request names other versions.
    """
    body = body_of(answer)
    if body is not None and not _names(request, "If-Match", etag_of(body)):
        raise Outdated
    updated_at = getattr(answer, "updated_at", None)
    if updated_at is not None:
        request[_EXPECTED] = updated_at


def expected(request: web.Request) -> Timestamp | None:
    """When the resource has to have been changed last; None if the request expects nothing."""
    return to_timestamp(request.get(_EXPECTED))


def _names(request: web.Request, header: str, etag: str) -> bool:
    """Whether the header has the ETag or `*` (RFC 9110, 13.1).

    `W/` makes no difference: the ETag of a compressed response has it, and stands for the same resource.
    """
    given = [part.strip().removeprefix("W/") for part in ",".join(request.headers.getall(header, ())).split(",")]
    return "*" in given or etag in given
