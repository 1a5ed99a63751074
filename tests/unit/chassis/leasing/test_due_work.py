"""Slots of a process and of each receiver, the slot for newcomers, and what ends a pause."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from services.chassis.leasing.due_work import DueWork
from services.chassis.leasing.fair_claims import REFRESH_SECONDS

LONG = 60.0


class Queue:
    """Due work as (tenant, receiver), each piece of which runs until `finish`."""

    def __init__(self, *due: tuple[str, str]) -> None:
        self.due = list(due)
        self.finish = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def tenants(self) -> set[str]:
        return {tenant for tenant, _ in self.due}

    async def claim(self, tenant: str, busy: Sequence[str]) -> tuple[str, str] | None:
        found = [one for one in self.due if one[0] == tenant and one[1] not in busy]
        if not found:
            return None
        self.due.remove(found[0])
        return found[0]

    def start(self, _: tuple[str, str]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run())
        self.tasks.append(task)
        return task

    async def _run(self) -> None:
        await self.finish.wait()

    def work(self, *, slots: int, receiver_slots: int = 100) -> DueWork[tuple[str, str]]:
        return DueWork(
            self.tenants,
            self.claim,
            lambda one: one[1],
            self.start,
            slots=slots,
            receiver_slots=receiver_slots,
            poll=LONG,
            idle=LONG,
        )


def receivers(work: DueWork[tuple[str, str]]) -> Iterator[str]:
    return (claimed.lease[1] for claimed in work.running.values())


async def filled(work: DueWork[tuple[str, str]]) -> int:
    while await work.start_one():
        pass
    return len(work.running)


async def test_a_tenant_fills_the_slots_and_one_more_is_for_a_tenant_with_nothing_running() -> None:
    queue = Queue(*[("a", f"r{n}") for n in range(9)])
    work = queue.work(slots=3)
    assert await filled(work) == 3
    queue.due += [("b", "s1"), ("b", "s2")]
    await asyncio.sleep(REFRESH_SECONDS)
    assert await filled(work) == 4
    assert list(receivers(work)) == ["r0", "r1", "r2", "s1"]


async def test_work_for_a_busy_receiver_waits_and_other_work_does_not() -> None:
    queue = Queue(("a", "slow"), ("a", "slow"), ("a", "slow"), ("a", "fast"))
    work = queue.work(slots=10, receiver_slots=2)
    assert await filled(work) == 3
    assert sorted(receivers(work)) == ["fast", "slow", "slow"]
    assert queue.due == [("a", "slow")]


async def test_the_end_of_work_frees_its_slot_and_ends_the_pause() -> None:
    queue = Queue(("a", "r1"), ("a", "r2"))
    work = queue.work(slots=1)
    assert await filled(work) == 1
    async with asyncio.timeout(5):
        asyncio.get_running_loop().call_later(0.05, queue.finish.set)
        await work.pause()
    assert not work.running
    assert await work.start_one()
    assert queue.due == []


async def test_a_wake_up_before_the_pause_ends_it_once() -> None:
    work = Queue().work(slots=1)
    work.wake()
    async with asyncio.timeout(5):
        await work.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await work.pause()
