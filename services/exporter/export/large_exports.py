"""Keeps large exports from delaying the small ones of the same process.

A large export keeps a core busy in MongoDB and another one here. More of them than there are pairs of cores do not end
sooner together, but everything else waits for the CPU, for MongoDB and for Python's lock. So a process runs at most
half as many as there are cores, with threads of low priority; a small export hardly notices them.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.exporter.prefetch import POLL_SECONDS, Stopped

LARGE_DOCUMENTS = 10_000
"""More documents than this, which are read in some hundredths of a second, make an export large."""
NICENESS = 10
"""About a tenth of the CPU share of the other threads, where there are too few cores."""


class LargeExports:
    """The large exports of this process.

    Args:
        slots: how many run at a time; by default half as many as there are cores, at least one.
    """

    def __init__(self, slots: int | None = None) -> None:
        self._slots = threading.Semaphore(slots or max(1, (os.cpu_count() or 1) // 2))

    @contextmanager
    def admit(self, documents: int, stop: threading.Event) -> Iterator[None]:
        """Run the block, which exports this many documents, in this thread; a large export first waits for a slot.

        Raises:
            Stopped: `stop` was set while it waited.
        """
        if documents <= LARGE_DOCUMENTS:
            yield
            return
        while not self._slots.acquire(timeout=POLL_SECONDS):
            if stop.is_set():
                raise Stopped
        try:
            _give_way()
            yield
        finally:
            self._slots.release()


def _give_way() -> None:
    """Lower the priority of this thread and of those it will start; on Linux each has its own (setpriority(2))."""
    thread = threading.get_native_id()
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, thread) < NICENESS:
        os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
