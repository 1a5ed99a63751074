"""Background loops that outlive their errors: each runs until the process stops, with a pause after a failure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

log = structlog.get_logger()

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LONGEST_PAUSE = 10.0


async def repeat(name: str, every: float, step: Callable[[], Awaitable[object]]) -> None:
    """Call `step` every `every` seconds for ever; failures are logged and followed by growing pauses up to 10 s."""
    failures = 0
    while True:
        heed_cancellation()
        try:
            await step()
            failures = 0
        except Exception as exc:  # noqa: BLE001  a loop must outlive whatever one round met
            failures += 1
            log.warning("loop_failed", action=name, failures=failures, reason=f"{type(exc).__name__}: {exc}"[:500])
        await asyncio.sleep(pause_after(failures, every))


def heed_cancellation() -> None:
    """End this task if it was cancelled and something it awaited swallowed that.

    In Python 3.11 `asyncio.wait_for` can (cpython#86296), and nats-py fetches with it: without a look between two
    rounds, a loop that was told to stop would go on for ever, and the process with it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def for_each(
    name: str, items: Iterable[Item], work: Callable[[Item], Awaitable[Answer]], *, at_once: int
) -> list[Answer]:
    """Work on every item, on so many at once; what one of them fails with is logged and holds up no other.

    Returns:
        The answers of those that did not fail.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Answer:
        async with slots:
            return await work(item)

    ends = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    failed = [end for end in ends if isinstance(end, BaseException)]
    if failed:
        reason = f"{type(failed[0]).__name__}: {failed[0]}"[:500]
        log.warning("items_failed", action=name, failures=len(failed), of=len(ends), reason=reason)
    return [end for end in ends if not isinstance(end, BaseException)]


def pause_after(failures: int, every: float) -> float:
    """Seconds until the next round: `every`, doubled by each failure in a row, up to 10 s (or `every`, if longer)."""
    # The exponent is bounded: a float is too small for the doublings of an outage of three hours.
    return min(every * 2.0 ** min(failures, 30), max(every, LONGEST_PAUSE))


@asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncIterator[None]:
    """Run the loops in the background; on leaving they are cancelled and waited for."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
