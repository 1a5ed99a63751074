"""Sends one signed request to an endpoint, under the rules for outgoing connections, and says how it ended.

Source: Standard Webhooks 1.0.0, "Webhook metadata" and "Signatures".
"""

import email.utils
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks.webhooks import Webhook as Signer

from services.chassis.timestamps import in_milliseconds
from services.delivery.destinations.egress import Egress, Forbidden, Unresolved, checked_connector, refusal
from services.delivery.webhooks.webhook import Answer, Sent

REQUEST_SECONDS = 15.0
"""For the whole request, the lookup of the name included."""
MAX_CONNECTIONS = 64
USER_AGENT = "catalog-exports-webhooks/1"


class Sender:
    """Sends requests; connections are kept for a few seconds. To be closed.

    Args:
        egress: which addresses may be connected to; those without encryption have to be allowed by the operator.
    """

    def __init__(self, egress: Egress) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        self._sessions = {
            scheme: aiohttp.ClientSession(
                connector=checked_connector(rules, limit=MAX_CONNECTIONS, keepalive_timeout=5.0),
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            for scheme, rules in (("https", egress), ("http", egress.unencrypted()))
        }

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def send(self, url: str, message_id: str, body: str, secrets: Sequence[str]) -> Answer:
        """Send a request, signed with each of the secrets.

        Args:
            message_id: the same for all attempts, so that the receiver can recognise a repeated one.
        """
        at, started = datetime.now(UTC), time.monotonic()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(Signer(secret).sign(message_id, at, body) for secret in secrets),
        }
        status, error, retry_after = 0, "", None
        try:
            session = self._sessions[urlsplit(url).scheme]
            async with session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, seconds_to_wait(response.headers.get("Retry-After", ""))
                if not 200 <= status < 300:
                    error = _refused(status)
        except TimeoutError:
            error = f"no response within {REQUEST_SECONDS:g} s"
        except (aiohttp.ClientError, Forbidden, Unresolved, OSError, ValueError) as exc:
            error = str(refusal(exc) or _reason(exc))[:300]
        return Answer(Sent(in_milliseconds(at), status, round(time.monotonic() - started, 3), error), retry_after)


def _refused(status: int) -> str:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    if 300 <= status < 400:
        return f"the endpoint redirects ({status}); change the webhook's url instead"
    return f"the endpoint answered {status} {phrase}".rstrip()


def _reason(exc: Exception) -> str:
    """Without addresses, which may be internal."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return "the certificate is not valid for the host"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"no connection: {exc.os_error.strerror or 'failed'}"
    return f"the connection failed ({type(exc).__name__})"


def seconds_to_wait(text: str) -> float | None:
    """The value of Retry-After: seconds, or a date (RFC 9110, 10.2.3); None when it is neither."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None
