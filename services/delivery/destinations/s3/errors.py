"""What goes wrong in a call to S3, in the words of a delivery, and the time limit that every call has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import Forbidden, refusal
from services.delivery.destinations.s3.client import ATTEMPTS
from services.delivery.destinations.s3.words import WORDS, Words

_TOO_MANY = 429
_SERVER_ERROR = 500
_FULL = 507


def code_of(exc: ClientError) -> str:
    """S3's word for the error; the HTTP status where the answer has no body (HEAD)."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def status_of(exc: ClientError) -> int:
    """The HTTP status."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of a client.

    Args:
        silence: how long the server may say nothing.
        secret: what must not be repeated, should the server do so.
    """

    silence: float
    secret: str | None

    @asynccontextmanager
    async def at(self, step: Step) -> AsyncIterator[asyncio.Timeout]:
        """Around calls only, never around the payload's source: errors as `DestinationError`, and a limit.

        The limit is for all attempts of botocore together; who sees bytes move may push it on.
        """
        try:
            async with asyncio.timeout(self.silence * (ATTEMPTS + 1)) as limit:
                yield limit
        except ClientError as exc:
            raise self._from_answer(step, exc) from exc
        except (BotoCoreError, aiohttp.ClientError, OSError) as exc:
            raise self._from_network(step, exc) from exc

    def _from_answer(self, step: Step, exc: ClientError) -> DestinationError:
        code, status = code_of(exc), status_of(exc)
        said = self._harmless(f"{code}: {exc.response.get('Error', {}).get('Message', '')}")
        words = WORDS.get(code) or _by_status(status)
        return DestinationError(
            words.step or step, words.code, f"{words.what} It said: {said}", transient=words.transient
        )

    def _from_network(self, step: Step, exc: Exception) -> DestinationError:
        refused = refusal(exc)
        if refused is not None:
            forbidden = isinstance(refused, Forbidden)
            code = "egress_forbidden" if forbidden else "unresolved"
            return DestinationError(Step.RESOLVE, code, str(refused), transient=not forbidden)
        early = step == Step.AUTHENTICATE or isinstance(exc, EndpointConnectionError | ConnectTimeoutError)
        step = Step.CONNECT if early else step
        if isinstance(exc, SSLError):
            return self._from_tls(exc)
        if isinstance(exc, TimeoutError | ReadTimeoutError | ConnectTimeoutError):
            return DestinationError(step, "stalled", "The server did not answer in time.", transient=True)
        if step == Step.CONNECT:
            what = f"The server cannot be reached: check the endpoint. {self._harmless(str(exc))}"
            return DestinationError(step, "unreachable", what, transient=True)
        return DestinationError(
            step, "connection_lost", self._harmless(f"The connection was lost: {exc}"), transient=True
        )

    def _from_tls(self, exc: SSLError) -> DestinationError:
        said = self._harmless(str(exc))
        if isinstance(exc.kwargs.get("error"), aiohttp.ClientConnectorCertificateError):
            what = "The certificate is not of a known authority, or made for another name: give `ca_certificate`"
            return DestinationError(Step.CONNECT, "certificate_invalid", f"{what}. {said}", transient=False)
        what = "TLS failed: check that the endpoint speaks https on this port"
        return DestinationError(Step.CONNECT, "tls_failed", f"{what}. {said}", transient=False)

    def _harmless(self, text: str) -> str:
        masked = text.replace(self.secret, "********") if self.secret else text
        return " ".join("".join(c if c.isprintable() else " " for c in masked).split())[:300]


def _by_status(status: int) -> Words:
    if status == _FULL:
        return WORDS["QuotaExceeded"]
    if status == _TOO_MANY:
        return WORDS["SlowDown"]
    if status >= _SERVER_ERROR:
        return WORDS["InternalError"]
    return Words("refused", "The server refused.", transient=False)
