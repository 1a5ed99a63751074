"""How long a destination waits for its server."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from services.delivery.destinations.egress import CONNECT_SECONDS


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
