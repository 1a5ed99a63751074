"""Admits a request to its route: with an API key that has the route's scope and calls left, or with a signed link."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from services.chassis.audit.log import AuditLog
from services.chassis.networks import Network
from services.chassis.rpc import origin
from services.gateway.answers.models import Answer
from services.gateway.auth.addresses import client_address, client_network
from services.gateway.auth.api_keys import ApiKey
from services.gateway.auth.key_cache import KeyCache
from services.gateway.auth.links import PARAMETERS, Signer
from services.gateway.auth.rate import Allowance, RateLimiter
from services.gateway.auth.refusals import recorded_refusals
from services.gateway.errors import BadKey, MissingScope, RateLimited
from services.gateway.http.etags import body_of, etag_of, expect, is_known
from services.gateway.http.ids import job_id_in_path
from services.gateway.http.middleware import RESPONSE_HEADERS
from services.gateway.http.pages import check_parameters, next_link
from services.gateway.http.route import Caller, Route, respond
from services.limits import Limits

SCHEME = "bearer "
ALLOWANCE = web.RequestKey("allowance", Allowance)
"""What the key of a request may still do."""
KEY = web.RequestKey("key", ApiKey)
"""The key of a request, unless it came with a signed link."""


class Authenticator:
    """Guards routes.

    Args:
        proxies: networks of the proxies whose X-Forwarded-For is trusted.
    """

    def __init__(
        self,
        keys: KeyCache,
        limiter: RateLimiter,
        limits: Limits,
        signer: Signer,
        proxies: Sequence[Network],
        audit: AuditLog,
    ) -> None:
        self._proxies = proxies
        self._audit = audit
        self._keys = keys
        self._limiter = limiter
        self._limits = limits
        self._signer = signer

    def guard(self, route: Route, reader: Route | None = None) -> Handler:
        """The route as a handler for aiohttp.

        Args:
            reader: the route that shows the resource which this one changes, for `If-Match`.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            origin.begin(None)
            if route.allows_link and any(name in request.query for name in PARAMETERS):
                answer = await route.handle(request, await self._link_caller(request))
            else:
                key = await self._admit(request)
                with recorded_refusals(self._audit, route, request, key.tenant):
                    if not key.allows(route.scope):
                        raise MissingScope(route.scope)
                    check_parameters(request.query, route.parameters)
                    caller = Caller(key.tenant, key.id)
                    if reader is not None and "If-Match" in request.headers:
                        expect(request, await reader.handle(request, caller))
                    answer = await route.handle(request, caller)
            return _response(request, route, answer)

        return handle

    async def _link_caller(self, request: web.Request) -> Caller:
        caller = self._signer.caller(job_id_in_path(request), request.query, datetime.now(UTC))
        structlog.contextvars.bind_contextvars(tenant=caller.tenant, key_id=caller.key_id)
        await self._keys.check_link(caller.key_id)
        return caller

    async def _admit(self, request: web.Request) -> ApiKey:
        """The key of a request, which may make one more."""
        address = client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), self._proxies)
        key = await self._keys.check(_bearer(request), client_network(address))
        structlog.contextvars.bind_contextvars(tenant=key.tenant, key_id=key.id)
        origin.begin(origin.Client(key.id, str(address or "")))
        allowance = self._limiter.take(key.id, time.monotonic(), self._limits.of(key.tenant).rate_limit)
        request[ALLOWANCE], request[KEY] = allowance, key
        request[RESPONSE_HEADERS].update(self._headers(allowance))
        if not allowance.allowed:
            raise RateLimited(allowance.limit, allowance.retry_after)
        return key

    def _headers(self, allowance: Allowance) -> dict[str, str]:
        """As in draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"key";q={allowance.limit};w=60',
            "RateLimit": f'"key";r={allowance.remaining};t={allowance.reset}',
        }


def _bearer(request: web.Request) -> str:
    header = request.headers.get("Authorization", "")
    if not header:
        raise BadKey("missing_key", "Send an API key: `Authorization: Bearer cx_...`.")
    if header[: len(SCHEME)].lower() != SCHEME:
        raise BadKey("invalid_key", "The Authorization header must be `Bearer` followed by an API key.")
    return header[len(SCHEME) :].strip()


def _response(request: web.Request, route: Route, answer: web.StreamResponse | Answer | None) -> web.StreamResponse:
    """The response to a request, with the ETag of the resource that it shows."""
    headers = dict(next_link(request, answer))
    if route.has_etag and (body := body_of(answer)) is not None:
        headers["ETag"] = etag_of(body)
        if is_known(request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
    if isinstance(answer, web.StreamResponse):
        answer.headers.update(headers)
        return answer
    status, _ = route.answer
    return web.Response(status=status) if answer is None else respond(answer, status, headers)
