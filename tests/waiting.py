"""Waiting for a state, with one deadline for all tests."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

DEADLINE = 60.0
"""Seconds. Generous, because it costs nothing when things go well and the machine may be busy."""


def _pause(first: float, begun: float) -> float:
    """Seconds until the next look, more and more of them: each look at a service costs it as much as a user's."""
    return max(first, min(0.03 * (time.monotonic() - begun), 0.5))


def eventually(what: str, holds: Callable[[], Any], within: float = DEADLINE, every: float | None = None) -> Any:
    """The first true answer of `holds`.

    `within` only extends the deadline: a shorter one would make the test depend on the speed of the machine.

    Args:
        every: seconds between two calls, where a short-lived state must not be missed.
    """
    begun = time.monotonic()
    while time.monotonic() < begun + max(within, DEADLINE):
        if answer := holds():
            return answer
        time.sleep(every or _pause(0.05, begun))
    raise AssertionError(f"not within {max(within, DEADLINE):.0f} s: {what}")


async def eventually_async(what: str, holds: Callable[[], Awaitable[Any]], within: float = DEADLINE) -> Any:
    """Like `eventually`, without blocking the event loop."""
    begun = time.monotonic()
    while time.monotonic() < begun + max(within, DEADLINE):
        if answer := await holds():
            return answer
        await asyncio.sleep(_pause(0.02, begun))
    raise AssertionError(f"not within {max(within, DEADLINE):.0f} s: {what}")
