"""Background loops go on whatever happens to a round."""

import asyncio
from contextlib import suppress

import pytest

from services.chassis.loops import MAX_PAUSE, for_each, pause_after, pause_between, repeat, running


@pytest.mark.parametrize(("failures", "expected"), [(0, 0.5), (1, 1.0), (2, 2.0), (4, 8.0), (5, MAX_PAUSE)])
def test_pauses_grow_up_to_ten_seconds(failures: int, expected: float) -> None:
    assert pause_after(failures, 0.5) == expected


def test_pauses_do_not_overflow_in_an_outage_of_days() -> None:
    assert pause_after(100_000, 0.5) == MAX_PAUSE


def test_a_long_pause_is_not_shortened_by_failures() -> None:
    assert pause_after(3, 60.0) == 60.0


def test_polls_that_find_nothing_become_rarer_until_one_finds_something() -> None:
    pauses = [0.5]
    for found in (False, False, False, False, True, False):
        pauses.append(pause_between(pauses[-1], 0.5, 2.0, found=found))
    assert pauses == [0.5, 0.75, 1.125, 1.6875, 2.0, 0.5, 0.75]


async def test_an_idle_loop_can_be_woken() -> None:
    rounds, wake = 0, asyncio.Event()

    async def step() -> int:
        nonlocal rounds
        rounds += 1
        return 0

    async with running(repeat("test", 0.001, step, idle=3_600.0, wake=wake)):
        async with asyncio.timeout(30):
            while rounds < 40:  # without being woken, the last of these pauses would take hours
                wake.set()
                await asyncio.sleep(0.002)


async def test_a_loop_outlives_an_error() -> None:
    rounds = 0
    enough = asyncio.Event()

    async def step() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            raise ValueError("once")
        if rounds == 4:
            enough.set()

    async with running(repeat("test", 0.001, step)):
        await asyncio.wait_for(enough.wait(), 5)


async def test_loops_are_cancelled_and_waited_for() -> None:
    ended = []

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
            ended.append(True)

    async with running(loop(), loop()):
        await asyncio.sleep(0)
    assert ended == [True, True]


async def test_an_item_that_fails_holds_up_no_other_and_gives_no_answer() -> None:
    async def halved(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number // 2

    assert await for_each("halve", range(7), halved, concurrency=2) == [0, 1, 2, 3]
    assert await for_each("halve", [], halved, concurrency=2) == []


async def test_no_more_items_are_processed_concurrently_than_allowed() -> None:
    working = most = 0

    async def work(_: int) -> None:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0.001)
        working -= 1

    await for_each("work", range(20), work, concurrency=3)
    assert (working, most) == (0, 3)


async def test_a_loop_whose_step_swallows_its_cancellation_ends_all_the_same() -> None:
    swallowed: list[bool] = []

    async def step() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed.append(True)

    async with asyncio.timeout(10), running(repeat("step", 0.0, step)):
        await asyncio.sleep(0.01)
    assert swallowed == [True]
