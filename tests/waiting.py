"""Waiting for a state, with one deadline for all tests."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

DEADLINE = 60.0
"""Seconds. Generous, because it costs nothing when things go well and the machine may be busy."""


def eventually(what: str, holds: Callable[[], Any], within: float = DEADLINE, every: float = 0.05) -> Any:
    """The first true answer of `holds`, which is called every `every` seconds.

    `within` only extends the deadline: a shorter one would make the test depend on the speed of the machine.
    """
    deadline = time.monotonic() + max(within, DEADLINE)
    while time.monotonic() < deadline:
        if answer := holds():
            return answer
        time.sleep(every)
    raise AssertionError(f"not within {max(within, DEADLINE):.0f} s: {what}")


async def eventually_async(what: str, holds: Callable[[], Awaitable[Any]], within: float = DEADLINE) -> Any:
    """Like `eventually`, without blocking the event loop."""
    deadline = time.monotonic() + max(within, DEADLINE)
    while time.monotonic() < deadline:
        if answer := await holds():
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {max(within, DEADLINE):.0f} s: {what}")
