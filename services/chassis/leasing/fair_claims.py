"""Which tenant's work a process claims next, so that no tenant waits behind another one's backlog.

Tenants take turns by start-time fair queueing over the seconds their work has taken here. One slot is kept for tenants
that have nothing running in this process: long work of one tenant never holds every slot.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.chassis.leasing.fair_queue import FairQueue

REFRESH_SECONDS = 1.0
"""Between two queries for the tenants that wait, while some are known to."""
FIRST_ESTIMATE = 1.0
"""Seconds that a tenant's work is expected to take before any of it has ended here."""
MAX_ESTIMATES = 10_000
"""Tenants whose last duration is remembered."""

LeaseT = TypeVar("LeaseT")


@dataclass(slots=True)
class Claimed(Generic[LeaseT]):
    """Work that was claimed; to be handed to `FairClaims.ended` when it ends."""

    tenant: str
    lease: LeaseT
    started: float
    estimate: float


class FairClaims(Generic[LeaseT]):
    """Claims work of the tenant whose turn it is.

    Args:
        waiting: the tenants that have work to be claimed.
        claim: claims work of a tenant, if possible the one with the given id, otherwise the oldest; None when there is
            none.
    """

    def __init__(
        self, waiting: Callable[[], Awaitable[set[str]]], claim: Callable[[str, str], Awaitable[LeaseT | None]]
    ) -> None:
        self._query_waiting = waiting
        self._claim = claim
        self._queue = FairQueue()
        self._waiting: set[str] = set()
        self._refreshed = 0.0
        self._running: Counter[str] = Counter()
        self._estimates: OrderedDict[str, float] = OrderedDict()
        self._lock = asyncio.Lock()

    def arrived(self, tenant: str) -> bool:
        """Note that a tenant has new work, without waiting for the next query; returns whether it runs nothing here."""
        self._waiting.add(tenant)
        return not self._running[tenant]

    async def next(self, max_running: int, preferred: tuple[str, str] = ("", "")) -> Claimed[LeaseT] | None:
        """Claim work, or return None when there is none.

        Args:
            max_running: skip tenants that have this much work running here already.
            preferred: tenant and id of the work to claim if it is this tenant's turn.
        """
        async with self._lock:
            claimed = await self._next_known(max_running, preferred)
            if claimed is None or time.monotonic() - self._refreshed >= REFRESH_SECONDS:
                self._waiting |= await self._query_waiting()
                self._refreshed = time.monotonic()
            return claimed or await self._next_known(max_running, preferred)

    async def _next_known(self, max_running: int, preferred: tuple[str, str]) -> Claimed[LeaseT] | None:
        for tenant in self._queue.order(self._waiting):
            if self._running[tenant] >= max_running:
                continue
            lease = await self._claim(tenant, preferred[1] if tenant == preferred[0] else "")
            if lease is not None:
                estimate = self._estimates.get(tenant, FIRST_ESTIMATE)
                self._queue.serve(tenant, estimate)
                self._running[tenant] += 1
                return Claimed(tenant, lease, time.monotonic(), estimate)
            self._waiting.discard(tenant)
        return None

    def ended(self, claimed: Claimed[LeaseT]) -> None:
        """Free the slot and charge the tenant for the time the work has really taken."""
        seconds = time.monotonic() - claimed.started
        self._queue.adjust(claimed.tenant, seconds - claimed.estimate)
        self._running[claimed.tenant] -= 1
        self._running += Counter()  # drops the zeros
        self._estimates[claimed.tenant] = seconds
        self._estimates.move_to_end(claimed.tenant)
        while len(self._estimates) > MAX_ESTIMATES:
            self._estimates.popitem(last=False)
