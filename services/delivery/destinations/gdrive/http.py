"""Requests to Google's servers: a limit on every wait, checked addresses, and failures as `DestinationError`."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import Egress, Forbidden, Unresolved, checked_connector
from services.delivery.destinations.gdrive.errors import Answer
from services.delivery.destinations.kit.error_rules import find_egress_error, printable
from services.delivery.destinations.kit.timeouts import Timeouts, extend

MAX_ANSWER = 1024 * 1024
PIECE = 64 * 1024
"""Bytes written at a time; the limit of silence applies to each piece."""


@dataclass(frozen=True, slots=True)
class DriveTimeouts(Timeouts):
    """Seconds; `work` also limits the answer to a part, which Google stores first.

    Args:
        waits: before each retry of a request that Google was too busy for, unless Google names a time.
        max_wait: the longest time that Google may name.
    """

    waits: tuple[float, ...] = (1.0, 2.0, 4.0)
    max_wait: float = 30.0


class Http:
    """Sends requests."""

    def __init__(self, session: aiohttp.ClientSession, timeouts: DriveTimeouts) -> None:
        self._session = session
        self.timeouts = timeouts

    async def ask(self, step: Step, method: str, url: str, **request: Any) -> Answer:
        """A small request and its answer, whatever its status.

        Args:
            request: as aiohttp takes it.

        Raises:
            DestinationError: there was no answer.
        """
        with translate_errors(step):
            async with asyncio.timeout(self.timeouts.connect + self.timeouts.silence):
                async with self._session.request(method, url, allow_redirects=False, **request) as response:
                    return await _answer(response)

    async def put(self, url: str, content: memoryview, headers: Mapping[str, str]) -> Answer:
        """Send a part. Every piece has its own time limit; aiohttp never repeats such a request by itself.

        Raises:
            DestinationError: there was no answer.
        """

        async def pieces() -> AsyncIterator[memoryview]:
            for start in range(0, len(content), PIECE):
                extend(limit, self.timeouts.silence)
                yield content[start : start + PIECE]
            extend(limit, self.timeouts.work)

        sized = {"Content-Length": str(len(content)), **headers}
        with translate_errors(Step.WRITE):
            async with asyncio.timeout(self.timeouts.connect + self.timeouts.silence) as limit:
                request = self._session.put(url, data=pieces(), headers=sized, allow_redirects=False)
                async with request as response:
                    return await _answer(response)

    @asynccontextmanager
    async def opened(self, step: Step, url: str, **request: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose content is still to be read, a piece at a time."""
        with translate_errors(step):
            response = await self._session.get(url, allow_redirects=False, **request)
        async with response:
            yield response

    async def retry_overloaded(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeat a request, after a wait, while Google is too busy; returns the last answer, whatever it is."""
        for wait in self.timeouts.waits:
            answer = await once()
            if not answer.overloaded or not await self.wait_to_retry(answer, wait):
                return answer
        return await once()

    async def wait_to_retry(self, answer: Answer, wait: float) -> bool:
        """Wait as long as Google asks, else about `wait`; False without waiting if it asks for more than `max_wait`."""
        asked = answer.retry_after
        if asked is not None and asked > self.timeouts.max_wait:
            return False
        jittered = wait * random.uniform(0.75, 1.25)  # noqa: S311  jitter
        await asyncio.sleep(max(jittered, asked or 0.0))
        return True


@asynccontextmanager
async def connected(egress: Egress, timeouts: DriveTimeouts) -> AsyncIterator[Http]:
    """Connections for one session; settings of the environment (proxies, netrc) are not used."""
    # Two are enough: the next part is read while the last one is sent.
    connector = checked_connector(egress, limit=2)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.work)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Http(session, timeouts)


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    text = bytearray()
    async for chunk in response.content.iter_any():
        text += chunk
        if len(text) > MAX_ANSWER:
            raise aiohttp.ClientPayloadError(f"an answer of more than {MAX_ANSWER} bytes")
    return Answer(response.status, response.headers, _object(text))


async def answered(response: aiohttp.ClientResponse, step: Step) -> Answer:
    """The answer that is the content of a response."""
    with translate_errors(step):
        return await _answer(response)


def _object(text: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def translate_errors(step: Step) -> Iterator[None]:
    """Around calls to a server, never around the payload's source: failures as `DestinationError`."""
    try:
        yield
    except (aiohttp.ClientError, Forbidden, Unresolved, OSError) as exc:  # a TimeoutError is an OSError
        raise find_egress_error(exc) or _error(step, exc) from exc


def _error(step: Step, exc: Exception) -> DestinationError:
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            text = f"The certificate of {exc.host} is not trusted; the connection to Google may be intercepted."
            return DestinationError(Step.CONNECT, "certificate_invalid", text, transient=False)
        case aiohttp.ClientConnectorError():
            reason = printable(exc.os_error.strerror or str(exc.os_error))
            text = f"No connection to {exc.host}:{exc.port}: {reason}. Check firewalls."
            return DestinationError(Step.CONNECT, "unreachable", text, transient=True)
        case TimeoutError():
            return DestinationError(step, "stalled", "Google did not answer in time.", transient=True)
        case _:
            text = f"The connection to Google was lost ({type(exc).__name__})."
            return DestinationError(step, "connection_lost", text, transient=True)
