"""Threads for work whose duration tenants and their servers decide, so that it does not delay reads of files."""

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from functools import cache
from typing import TypeVar

KEY_THREADS = 2
"""Private keys that are read at the same time; key derivation takes up to 20 ms per round of CPU time."""
T = TypeVar("T")


class DaemonThreads:
    """A few threads that do not keep the process from ending, unlike those of an executor.

    Work waits until a thread is free; work whose caller gave up before that is dropped.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._started = 0
        self._queue = queue.SimpleQueue[tuple[concurrent.futures.Future[object], Callable[[], object]]]()

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in a thread; called from one event loop at a time."""
        future = concurrent.futures.Future[T]()
        self._queue.put((future, work))  # type: ignore[arg-type]  # the queue mixes types of results
        if self._started < self._count:
            self._started += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True).start()
        return await asyncio.wrap_future(future)

    def _serve(self) -> None:
        while True:
            future, work = self._queue.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as exc:  # noqa: BLE001  raised where the result is awaited
                    future.set_exception(exc)


@cache
def _key_threads() -> DaemonThreads:
    return DaemonThreads(KEY_THREADS, "keys")


async def in_key_thread(work: Callable[[], T]) -> T:
    """Call work that reads private keys."""
    return await _key_threads().run(work)
