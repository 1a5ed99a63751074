"""Which requests are repeated, and after how long. Decides only; does no I/O."""

import random
import ssl

import httpx

from catalog_exports.client.errors import ApiError, Unavailable

MAX_RETRY_AFTER = 60.0
"""Seconds; a longer `Retry-After` is left to the caller."""
MAX_BACKOFF = 8.0
IDEMPOTENCY_KEY = "Idempotency-Key"
_REPEATABLE = frozenset({"GET", "HEAD", "PATCH"})
_NEVER_RIGHT = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def backoff(failures: int) -> float:
    """Seconds before the next attempt, half of them random so that many clients do not return together."""
    limit = min(MAX_BACKOFF, 0.5 * 2.0 ** min(failures, 10))
    return limit / 2 + random.uniform(0, limit / 2)  # noqa: S311  spreads load, guards nothing


def may_repeat(request: httpx.Request) -> bool:
    """Whether repeating the request has no other effect than sending it once."""
    return request.method in _REPEATABLE or IDEMPOTENCY_KEY in request.headers


def delay_after_failure(request: httpx.Request, exc: httpx.TransportError, failures: int) -> float | None:
    """Seconds to wait after a request without an answer; None: it is not to be repeated."""
    if isinstance(exc, _NEVER_RIGHT) or _is_untrusted(exc):
        return None
    return backoff(failures) if isinstance(exc, _NEVER_SENT) or may_repeat(request) else None


def _is_untrusted(exc: BaseException | None) -> bool:
    """Whether the server's certificate is the reason."""
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def delay_after_answer(request: httpx.Request, error: ApiError, failures: int) -> float | None:
    """Seconds to wait after an answer that is an error; None: it is not to be repeated."""
    if not isinstance(error, Unavailable):
        return None
    if error.retry_after is not None:  # the API says so, and has done nothing
        return error.retry_after if error.retry_after <= MAX_RETRY_AFTER else None
    return backoff(failures) if error.status != 429 and may_repeat(request) else None
