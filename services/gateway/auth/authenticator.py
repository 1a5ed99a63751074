"""Lets a request through to its route: an API key with the route's scope and a call left, or a signed link."""

import time
from datetime import UTC, datetime

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from services.gateway.auth.api_keys import ApiKey
from services.gateway.auth.key_cache import KeyRing
from services.gateway.auth.links import Signer
from services.gateway.auth.rate import Allowance, RateLimiter
from services.gateway.errors import BadKey, MissingScope, RateLimited
from services.gateway.http.job_ids import job_id_of
from services.gateway.http.middleware import RESPONSE_HEADERS
from services.gateway.http.route import Caller, Route

SCHEME = "bearer "


class Gate:
    """Guards routes."""

    def __init__(self, ring: KeyRing, limiter: RateLimiter, signer: Signer) -> None:
        self._ring = ring
        self._limiter = limiter
        self._signer = signer

    def guarded(self, route: Route) -> Handler:
        """The route as aiohttp calls it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if route.allows_link and "signature" in request.query:
                tenant = self._signer.tenant(job_id_of(request), request.query, datetime.now(UTC))
                structlog.contextvars.bind_contextvars(tenant=tenant)
                return await route.handle(request, Caller(tenant, ""))
            key = await self._ring.check(_bearer(request))
            structlog.contextvars.bind_contextvars(tenant=key.tenant, key_id=key.id)
            allowance = self._limiter.take(key.id, time.monotonic())
            request[RESPONSE_HEADERS].update(self._headers(allowance))
            return await self._let_in(route, request, key, allowance)

        return handle

    async def _let_in(
        self, route: Route, request: web.Request, key: ApiKey, allowance: Allowance
    ) -> web.StreamResponse:
        if not allowance.allowed:
            raise RateLimited(self._limiter.limit, allowance.retry_after)
        if not key.allows(route.scope):
            raise MissingScope(route.scope)
        return await route.handle(request, Caller(key.tenant, key.id))

    def _headers(self, allowance: Allowance) -> dict[str, str]:
        """Of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"key";q={self._limiter.limit};w=60',
            "RateLimit": f'"key";r={allowance.remaining};t={allowance.reset}',
        }


def _bearer(request: web.Request) -> str:
    header = request.headers.get("Authorization", "")
    if not header:
        raise BadKey("missing_key", "Send an API key: `Authorization: Bearer cx_...`.")
    if header[: len(SCHEME)].lower() != SCHEME:
        raise BadKey("invalid_key", "The Authorization header must be `Bearer` and an API key.")
    return header[len(SCHEME) :].strip()
