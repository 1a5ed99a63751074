"""Requests from web pages of other origins (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol), if wanted.

Keys are sent in a header and there are no cookies, so pages never need credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

MAX_AGE = 7_200
"""Seconds for which a browser may keep the answer to a preflight request; Chromium keeps none longer."""
ALLOWED = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Last-Event-ID, Prefer, Range"
)
EXPOSED = (
    "Content-Disposition, Content-Range, ETag, Idempotent-Replayed, Link, Location, Preference-Applied, RateLimit, "
    "RateLimit-Policy, Retry-After, X-Request-Id"
)


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins whose pages may call the gateway; `*`: all."""

    origins: frozenset[str] = frozenset()

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """What a response says to the browser; nothing if no page may call the gateway."""
        if not self.origins:
            return {}
        if "*" in self.origins:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
        origin = request.headers.get("Origin", "")
        allowed = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED}
        return {"Vary": "Origin", **(allowed if origin in self.origins else {})}

    def preflight(self, request: web.Request) -> web.Response | None:
        """The response to a request of a browser that asks whether a page may send another one; None for others."""
        wanted = request.headers.get("Access-Control-Request-Method")
        if not self.origins or request.method != "OPTIONS" or "Origin" not in request.headers or wanted is None:
            return None
        answers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
            "Access-Control-Allow-Headers": ALLOWED,
            "Access-Control-Max-Age": str(MAX_AGE),
        }
        return web.Response(status=204, headers=answers)


def parse_origins(text: str) -> frozenset[str]:
    """The origins in a setting, separated by commas.

    Raises:
        ValueError: one is not an origin.
    """
    origins = frozenset(part.strip() for part in text.split(",") if part.strip())
    for origin in origins - {"*"}:
        scheme, separator, host = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not host or "/" in host:
            raise ValueError("must be origins such as https://shop.example.com, separated by commas, or *")
    return origins
