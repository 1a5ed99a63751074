"""The middleware around every request: its id, span, log line and metrics, and a response for every error."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram

from services.chassis.faults import Fault, Kind
from services.chassis.telemetry import request_context, tracing
from services.gateway.errors import BadHost
from services.gateway.http import problems
from services.gateway.http.compression import compress
from services.gateway.http.cors import Cors
from services.gateway.http.origin import HOST
from services.gateway.http.route import PREFIX

log = structlog.get_logger()

REQUESTS = Histogram(
    "gateway_request_seconds", "Duration of REST requests, by method, route and status.", ["method", "route", "status"]
)
ABORTED = Counter(
    "gateway_requests_aborted_total", "Requests whose client disconnected before the response was complete."
)

HEADER = "X-Request-Id"
CORS = web.AppKey("cors", Cors)
RESPONSE_HEADERS = web.RequestKey("response_headers", dict[str, str])
"""Added to every response of the request, also to problems and streams."""
_WAITED = web.RequestKey("waited", float)
"""Seconds for which the client wanted to wait; they say nothing about the gateway."""
# Clients can invent methods; those must not become labels of their own (semantic conventions for HTTP).
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Begin the request's context, and handle it in a span unless it is a probe or a page."""
    requested = request.headers.get(HEADER, "")
    request_id = request_context.begin(requested if _REQUEST_ID.fullmatch(requested) else None)
    cors = request.app[CORS]
    request[RESPONSE_HEADERS] = {HEADER: request_id, **cors.headers(request)}
    if (allowed := cors.preflight(request)) is not None:
        return allowed
    if not _route(request).startswith(PREFIX):  # probes, pages
        return await _measure(request, handler)
    with tracing.span(
        f"{_method(request)} {_route(request)}",
        kind=SpanKind.SERVER,
        parent=tracing.from_headers(request.headers),
        attributes=_attributes(request),
        raises_are_errors=False,
    ):
        return await _measure(request, handler)


@contextmanager
def waiting(request: web.Request) -> Iterator[None]:
    """Around a wait that the client has asked for."""
    started = time.monotonic()
    try:
        yield
    finally:
        request[_WAITED] = time.monotonic() - started


async def _measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    started = time.monotonic()
    status = 499  # the client disconnected (nginx's convention)
    try:
        response = await _respond(request, handler)
        compress(request, response)
        status = response.status
        return response
    finally:
        seconds = time.monotonic() - started - request.get(_WAITED, 0.0)
        REQUESTS.labels(_method(request), _route(request), status).observe(seconds)
        tracing.note({"http.response.status_code": status})
        if status >= 500:
            tracing.failed(str(status))
        log.debug("request", action="request", method=request.method, path=request.path, status=status, seconds=seconds)


def _attributes(request: web.Request) -> dict[str, tracing.Attribute]:
    """Per the semantic conventions for HTTP, without the query, which may hold a link's signature."""
    return {
        "http.request.method": _method(request),
        "http.route": _route(request),
        "url.path": request.path,
        "url.scheme": request.scheme,
        "exports.request.id": request_context.current(),
    }


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "_OTHER"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Called when a response's headers are about to be sent."""
    added = dict(request.get(RESPONSE_HEADERS, {}))
    if "Vary" in added and "Vary" in response.headers:
        added["Vary"] = f"{response.headers['Vary']}, {added['Vary']}"
    response.headers.update(added)
    # aiohttp's own value would reveal the version of the software.
    response.headers["Server"] = "catalog-exports"


async def _respond(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if not HOST.fullmatch(request.host):  # links contain it
            raise BadHost
        return await handler(request)
    except Fault as fault:
        if fault.kind in (Kind.INTERNAL, Kind.UNAVAILABLE):
            log.warning("request_failed", action="request", path=request.path, code=fault.code, reason=fault.message)
        return problems.from_fault(fault)
    except web.HTTPException as exc:
        return problems.from_http_exception(exc)
    except (asyncio.CancelledError, ConnectionError):
        ABORTED.inc()
        raise
    except Exception:
        log.exception("request_failed", action="request", path=request.path)
        return problems.unexpected_error()


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(none)"
