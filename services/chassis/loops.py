"""Background work: loops that survive errors, bounded concurrency, and threads that do not keep a process alive."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog

log = structlog.get_logger()

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_PAUSE = 10.0


async def repeat(
    name: str,
    every: float,
    step: Callable[[], Awaitable[object]],
    *,
    idle: float | None = None,
    wake: asyncio.Event | None = None,
) -> None:
    """Call `step` every `every` seconds until cancelled. After errors, which are logged, the pauses grow to 10 s.

    Args:
        idle: while `step` returns nothing or 0, the pauses grow to so many seconds.
        wake: ends such a pause: `step` is called `every` seconds after it is set.
    """
    failures, pause = 0, every
    while True:
        raise_if_cancelled()
        if wake is not None:
            wake.clear()
        try:
            found = await step()
            failures, pause = 0, every if idle is None else pause_between(pause, every, idle, found=bool(found))
        except Exception as exc:  # noqa: BLE001  no error may end the loop
            failures += 1
            log.warning("loop_failed", action=name, failures=failures, reason=f"{type(exc).__name__}: {exc}"[:500])
            pause = pause_after(failures, every)
        if wake is None:
            await asyncio.sleep(pause)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), max(0.0, pause - every))
            await asyncio.sleep(every)


def pause_between(last: float, every: float, idle: float, *, found: bool) -> float:
    """Seconds between two polls: `every` while they find something, otherwise growing from the last pause to `idle`."""
    return every if found else min(idle, last * 1.5)


def raise_if_cancelled() -> None:
    """End this task if it was cancelled and something it awaited suppressed that.

    In Python 3.11 `asyncio.wait_for` can (cpython#86296), and nats-py fetches with it. Without this check between two
    rounds, a cancelled loop would go on for ever, and the process with it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def for_each(
    name: str, items: Iterable[Item], work: Callable[[Item], Awaitable[Answer]], *, concurrency: int
) -> list[Answer]:
    """Call `work` for every item, for at most `concurrency` of them at a time. One failure does not stop the others.

    Returns:
        The answers of the calls that did not fail; failures are logged.
    """
    slots = asyncio.Semaphore(concurrency)

    async def one(item: Item) -> Answer:
        async with slots:
            return await work(item)

    results = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        reason = f"{type(failed[0]).__name__}: {failed[0]}"[:500]
        log.warning("items_failed", action=name, failures=len(failed), of=len(results), reason=reason)
    return [result for result in results if not isinstance(result, BaseException)]


def pause_after(failures: int, every: float) -> float:
    """Seconds until the next round: `every`, doubled by each consecutive failure, up to 10 s or `every`."""
    # The exponent is bounded: after an outage of hours the result would not fit a float.
    return min(every * 2.0 ** min(failures, 30), max(every, MAX_PAUSE))


@asynccontextmanager
async def running(*repeated: Awaitable[None]) -> AsyncIterator[None]:
    """Run the loops in the background; on leaving they are cancelled and awaited."""
    tasks = [asyncio.ensure_future(loop) for loop in repeated]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_thread(call: Callable[[], Answer], *, name: str) -> Answer:
    """The result of `call`, which runs in its own daemon thread and continues there if the caller is cancelled.

    A thread pool would be awaited when the process exits, even if its threads hang. Log fields and the trace that are
    bound here also apply to the thread.
    """
    future: Future[Answer] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as exc:  # noqa: BLE001  raised where the result is awaited
            future.set_exception(exc)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
