"""The one place that maps faults to HTTP: status, headers, and a body of application/problem+json (RFC 9457)."""

import math
from http import HTTPStatus

from aiohttp import web

from services.chassis.faults import Fault, Kind
from services.chassis.telemetry import request_context
from services.gateway.answers.json import FieldError, Problem
from services.gateway.errors import RangeBeyond, RestFault

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[Kind, int] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.MISMATCH: 422,
    Kind.GONE: 410,
    Kind.EXHAUSTED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}


def of_fault(fault: Fault) -> web.Response:
    """The answer that tells of a fault."""
    status = fault.status if isinstance(fault, RestFault) else STATUSES[fault.kind]
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="catalog-exports"'
    if isinstance(fault, RangeBeyond):
        headers["Content-Range"] = f"bytes */{fault.size}"
    errors = [FieldError(field=v.field, message=v.message) for v in fault.violations]
    return _response(status, fault.code, fault.message, errors, headers)


def of_http(exc: web.HTTPException) -> web.Response:
    """The answer for what aiohttp itself refuses: no such path, another method."""
    headers = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else {}
    phrase = HTTPStatus(exc.status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    details = {404: "There is nothing at this path; /docs shows all there is.", 405: "This path knows other methods."}
    return _response(exc.status, code, details.get(exc.status, f"{phrase}."), [], headers)


def of_defect() -> web.Response:
    """The answer for an error nobody foresaw; what it was is in the log only."""
    return _response(500, "internal", "The gateway failed; the request id leads to its log.", [], {})


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
    return web.Response(status=status, text=problem.text(), content_type=MEDIA_TYPE, headers=headers)
