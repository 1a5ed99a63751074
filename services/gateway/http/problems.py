"""Maps faults to HTTP: status, headers, and a body of application/problem+json (RFC 9457)."""

import math
from http import HTTPStatus

from aiohttp import web

from services.chassis.faults import Fault, Kind
from services.chassis.telemetry import request_context
from services.gateway.answers.models import FieldError, Problem
from services.gateway.errors import RangeNotSatisfiable, RestFault

MEDIA_TYPE = "application/problem+json"
MAX_VIOLATIONS = 20
MAX_FIELD, MAX_MESSAGE = 200, 1_000
"""Characters of a violation."""

STATUSES: dict[Kind, int] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.OUTDATED: 412,
    Kind.MISMATCH: 422,
    Kind.GONE: 410,
    Kind.EXHAUSTED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}


def from_fault(fault: Fault) -> web.Response:
    """The response for a fault of the gateway or of a service."""
    status = fault.status if isinstance(fault, RestFault) else STATUSES[fault.kind]
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="catalog-exports"'
    if isinstance(fault, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{fault.size}"
    detail, listed = fault.message, fault.violations[:MAX_VIOLATIONS]
    if len(fault.violations) > len(listed):
        detail = f"The first {len(listed)} of {len(fault.violations):,} errors are listed."
    errors = [FieldError(field=v.field[:MAX_FIELD], message=v.message[:MAX_MESSAGE]) for v in listed]
    return _response(status, fault.code, detail, errors, headers)


def from_http_exception(exc: web.HTTPException) -> web.Response:
    """The response for what aiohttp itself rejects: an unknown path, a method that is not allowed."""
    phrase = HTTPStatus(exc.status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    headers, detail = {}, f"{phrase}."
    if isinstance(exc, web.HTTPNotFound):
        detail = "There is no resource at this path; see /docs for all routes."
    if isinstance(exc, web.HTTPMethodNotAllowed):
        headers["Allow"] = exc.headers["Allow"]
        detail = f"Method not allowed. Allowed methods: {', '.join(sorted(exc.allowed_methods))}."
    return _response(exc.status, code, detail, [], headers)


def unexpected_error() -> web.Response:
    """The response for an unexpected error; its cause is only in the log."""
    detail = "The gateway failed. The operator can find the cause in its log by the request id."
    return _response(500, "internal", detail, [], {})


def _response(status: int, code: str, detail: str, errors: list[FieldError], headers: dict[str, str]) -> web.Response:
    problem = Problem(
        type=f"urn:catalog-exports:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=errors or None,
        request_id=request_context.current(),
    )
    return web.Response(status=status, text=f"{problem.text()}\n", content_type=MEDIA_TYPE, headers=headers)
