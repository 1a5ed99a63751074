"""How long a destination waits for its server, and how long a whole delivery may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import CONNECT_SECONDS

BASE_SECONDS = 900.0
MIN_BYTES_PER_SECOND = 64 * 1024
"""Average rate that an attempt must reach, beside `BASE_SECONDS`; the file may be sent and read back."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    Args:
        connect: to make a connection.
        silence: for an answer, or for the server to take or send the next bytes.
        work: for an answer that the server has to work for, such as the hash of a file.
    """

    connect: float = CONNECT_SECONDS
    silence: float = 30.0
    work: float = 120.0


def extend(timeout: asyncio.Timeout, seconds: float) -> None:
    """Let a running timeout end this many seconds from now; no effect once it has expired or ended."""
    with suppress(RuntimeError):
        timeout.reschedule(asyncio.get_running_loop().time() + seconds)


@asynccontextmanager
async def attempt_deadline(size: int) -> AsyncIterator[None]:
    """Ends an attempt at a server that accepts each byte in time, but too few of them.

    Args:
        size: bytes of the file.

    Raises:
        DestinationError: `too_slow`.
    """
    seconds = BASE_SECONDS + 2 * size / MIN_BYTES_PER_SECOND
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        text = f"The delivery took more than {seconds:.0f} seconds: the server or the line to it is too slow."
        raise DestinationError(Step.WRITE, "too_slow", text, transient=True) from exc
