"""What follows an attempt that failed: another one after a while, or the end.

The while doubles up to a limit and is spread, so that many do not come back at once.
"""

import random
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeVar

_Lease = TypeVar("_Lease", contravariant=True)
_Error = TypeVar("_Error", contravariant=True)


class Ends(Protocol[_Lease, _Error]):
    """A store of work that is leased; both changes answer False, and change nothing, when the lease was lost."""

    def wait_for_retry(self, lease: _Lease, error: _Error, delay: float, /) -> Awaitable[bool]:
        """Let the work wait `delay` seconds for its next attempt."""

    def fail(self, lease: _Lease, error: _Error, /) -> Awaitable[bool]:
        """End the work."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How failed attempts are repeated.

    Args:
        first: seconds before the second attempt; doubles from there.
        longest: seconds between two attempts, at most.
    """

    first: float
    longest: float

    async def conclude(
        self, store: Ends[_Lease, _Error], lease: _Lease, error: _Error, *, attempt: int, most: int, transient: bool
    ) -> str:
        """Store what follows attempt `attempt` (from 1) of `most`; `transient`: another one may go well.

        Returns the outcome: `retried`, `failed`, or `fenced` when the lease was lost before.
        """
        if transient and attempt < most:
            chance = random.random()  # noqa: S311  jitter
            pause = delay(attempt, first=self.first, longest=self.longest, random=chance)
            held, outcome = await store.wait_for_retry(lease, error, pause), "retried"
        else:
            held, outcome = await store.fail(lease, error), "failed"
        return outcome if held else "fenced"


def delay(attempt: int, *, first: float, longest: float, random: float) -> float:
    """Seconds after attempt `attempt` (from 1): doubling from `first`, `random` (0 to 1) spreads the upper half."""
    full = min(longest, first * 2.0 ** min(64, max(0, attempt - 1)))
    return full * (0.5 + random / 2)
