"""Work that becomes due by itself: polled for and run in the free slots of a process, some of it for each receiver."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic

from services.chassis import loops
from services.chassis.leasing.fair_claims import Claimed, FairClaims
from services.chassis.leasing.leases import LeaseT


class DueWork(Generic[LeaseT]):
    """Runs due work of the tenants in turn: up to `slots` at a time, of these `receiver_slots` for one receiver.

    One more slot is for tenants that have nothing running here.

    Args:
        waiting: the tenants that have due work.
        claim: claims a tenant's longest-due work whose receiver is none of the given ones; None when there is none.
        receiver: the id of the receiver of claimed work, such as a platform.
        start: starts a task that does claimed work.
        poll, idle: seconds between two polls: `poll` while work is running, otherwise growing to `idle`.
    """

    def __init__(
        self,
        waiting: Callable[[], Awaitable[set[str]]],
        claim: Callable[[str, Sequence[str]], Awaitable[LeaseT | None]],
        receiver: Callable[[LeaseT], str],
        start: Callable[[LeaseT], asyncio.Task[None]],
        *,
        slots: int,
        receiver_slots: int,
        poll: float,
        idle: float,
    ) -> None:
        self.running: dict[asyncio.Task[None], Claimed[LeaseT]] = {}
        self._claims = FairClaims(waiting, lambda tenant, _: claim(tenant, self._busy()))
        self._receiver = receiver
        self._start = start
        self._slots = slots
        self._receiver_slots = receiver_slots
        self._poll, self._idle = poll, idle
        self._last_pause = poll
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the pause: there may be due work."""
        self._woken.set()

    async def start_one(self) -> bool:
        """Claim work and start it; False when no work is due or no slot is free.

        Raises:
            Unavailable: the database did not answer.
        """
        if len(self.running) > self._slots:
            return False
        claimed = await self._claims.next(self._slots if len(self.running) < self._slots else 1)
        if claimed is None:
            return False
        task = self._start(claimed.lease)
        self.running[task] = claimed
        task.add_done_callback(self._ended)
        return True

    async def pause(self) -> None:
        """Wait until the next poll, or until work ends or `wake` is called, which may have happened already."""
        self._last_pause = loops.pause_between(self._last_pause, self._poll, self._idle, found=bool(self.running))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self._last_pause)
        self._woken.clear()

    def _busy(self) -> list[str]:
        running = Counter(self._receiver(claimed.lease) for claimed in self.running.values())
        return [receiver for receiver, count in running.items() if count >= self._receiver_slots]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._claims.ended(self.running.pop(task))
        self.wake()
