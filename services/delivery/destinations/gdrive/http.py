"""Requests to Google's servers: a limit on every wait, checked addresses, and failures in the words of a delivery."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import (
    CONNECT_SECONDS,
    Egress,
    Forbidden,
    Unresolved,
    checked_connector,
    refusal,
)
from services.delivery.destinations.gdrive.errors import Answer

LONGEST_ANSWER = 1024 * 1024
PIECE = 64 * 1024
"""Bytes written at a time; the limit of silence is for each."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds.

    `silence`: for an answer, or for a piece to be taken; `work`: for the answer to a part, which Google stores first.
    `waits`: between tries of a request that Google was too busy for, unless it names a time, of which `longest_wait`
    is the most.
    """

    connect: float = CONNECT_SECONDS
    silence: float = 30.0
    work: float = 120.0
    waits: tuple[float, ...] = (1.0, 2.0, 4.0)
    longest_wait: float = 30.0


class Http:
    """Sends requests."""

    def __init__(self, session: aiohttp.ClientSession, limits: Limits) -> None:
        self._session = session
        self.limits = limits

    async def ask(self, step: Step, method: str, url: str, **request: Any) -> Answer:
        """A small request and its answer, whatever its status.

        Args:
            request: as aiohttp takes it.

        Raises:
            DestinationError: there was no answer.
        """
        with told(step):
            async with asyncio.timeout(self.limits.connect + self.limits.silence):
                async with self._session.request(method, url, allow_redirects=False, **request) as response:
                    return await _answer(response)

    async def put(self, url: str, content: memoryview, headers: Mapping[str, str]) -> Answer:
        """Send a part. Every piece is given its own time; aiohttp never repeats such a request by itself.

        Raises:
            DestinationError: there was no answer.
        """
        loop = asyncio.get_running_loop()

        async def pieces() -> AsyncIterator[memoryview]:
            for start in range(0, len(content), PIECE):
                limit.reschedule(loop.time() + self.limits.silence)
                yield content[start : start + PIECE]
            limit.reschedule(loop.time() + self.limits.work)

        sized = {"Content-Length": str(len(content)), **headers}
        with told(Step.WRITE):
            async with asyncio.timeout(self.limits.connect + self.limits.silence) as limit:
                request = self._session.put(url, data=pieces(), headers=sized, allow_redirects=False)
                async with request as response:
                    return await _answer(response)

    @asynccontextmanager
    async def opened(self, step: Step, url: str, **request: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response of which the content is still to be read, a piece at a time."""
        with told(step):
            response = await self._session.get(url, allow_redirects=False, **request)
        async with response:
            yield response

    async def patiently(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask again, after a wait, while Google is too busy; the last answer, whatever it is."""
        for wait in self.limits.waits:
            answer = await once()
            if not answer.overloaded or not await self.rest(answer, wait):
                return answer
        return await once()

    async def rest(self, answer: Answer, wait: float) -> bool:
        """Wait as long as Google asks, else about `wait`; False at once when it asks for more than we have."""
        asked = answer.retry_after
        if asked is not None and asked > self.limits.longest_wait:
            return False
        jittered = wait * random.uniform(0.75, 1.25)  # noqa: S311  jitter
        await asyncio.sleep(max(jittered, asked or 0.0))
        return True


@asynccontextmanager
async def connected(egress: Egress, limits: Limits) -> AsyncIterator[Http]:
    """Connections for one session; nothing of the environment (proxies, netrc) is used."""
    # Two in a row are enough: the next part is read while the last one is on its way.
    connector = checked_connector(egress, limit=2)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect, sock_read=limits.work)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Http(session, limits)


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    text = bytearray()
    async for chunk in response.content.iter_any():
        text += chunk
        if len(text) > LONGEST_ANSWER:
            raise aiohttp.ClientPayloadError("an answer of more than a megabyte")
    return Answer(response.status, response.headers, _object(text))


async def answered(response: aiohttp.ClientResponse, step: Step) -> Answer:
    """The rest of a response of which the content is an answer."""
    with told(step):
        return await _answer(response)


def _object(text: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def told(step: Step) -> Iterator[None]:
    """Around dealings with a server, never around the payload's source: failures as `DestinationError`."""
    try:
        yield
    except (aiohttp.ClientError, Forbidden, Unresolved, OSError) as exc:  # a TimeoutError is an OSError
        raise _failure(step, exc) from exc


def _failure(step: Step, exc: Exception) -> DestinationError:
    denied = refusal(exc)
    if denied is not None:
        code = "egress_forbidden" if isinstance(denied, Forbidden) else "unresolved"
        return DestinationError(Step.RESOLVE, code, str(denied), transient=code == "unresolved")
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            text = f"The certificate of {exc.host} is not trusted; something between here and Google may be listening."
            return DestinationError(Step.CONNECT, "certificate_invalid", text, transient=False)
        case aiohttp.ClientConnectorError():
            text = f"No connection to {exc.host}:{exc.port}: {exc.os_error.strerror or exc.os_error}. Check firewalls."
            return DestinationError(Step.CONNECT, "unreachable", text, transient=True)
        case TimeoutError():
            return DestinationError(step, "stalled", "Google did not answer in time.", transient=True)
        case _:
            text = f"The connection to Google was lost ({type(exc).__name__})."
            return DestinationError(step, "connection_lost", text, transient=True)
