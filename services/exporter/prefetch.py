"""Lets the stages of an export overlap: each runs in its own thread, a bounded number of bytes ahead of the next.

A slow stage slows down the stages before it, so nothing piles up. An error of a stage is raised in the stage that
reads from it. A stage whose reader has left ends. `stop` ends all of them, even while one waits for a server.
"""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import closing
from types import TracebackType

MAX_WAITING_BYTES = 4 * 1024 * 1024
"""Between two stages; a single item that is larger waits alone."""
POLL_SECONDS = 0.1
"""How often a waiting stage checks `stop`."""


class Stopped(Exception):
    """The attempt was stopped: its job was cancelled, its lease was lost, or the process is shutting down."""


class Prefetch:
    """Iterates over `source` in a thread, which starts when the first item is requested.

    On exit the source is closed and its thread has ended. The exception is a source that hangs while `stop` is set:
    its thread is left behind and ends when the call it hangs in returns.
    """

    def __init__(self, source: Generator[bytes, None, None], stop: threading.Event, *, name: str) -> None:
        self._source = source
        self._stop = stop
        self._thread = threading.Thread(target=self._produce, name=name, daemon=True)
        self._changed = threading.Condition()
        self._items: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._reader_left = False
        self._ended = False
        self._failure: BaseException | None = None

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._reader_left = True
            self._items.clear()
            self._changed.notify_all()
        if self._thread.ident is None:
            self._source.close()
            return
        while self._thread.is_alive() and not self._stop.is_set():
            self._thread.join(POLL_SECONDS)
        self._thread.join(POLL_SECONDS)

    def __iter__(self) -> "Prefetch":
        return self

    def __next__(self) -> bytes:
        """The next item.

        Raises:
            Stopped: `stop` was set.
            BaseException: whatever the source raised.
        """
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            while not self._items and not self._ended and not self._stop.is_set():
                self._changed.wait(POLL_SECONDS)
            if self._stop.is_set():
                raise Stopped
            if self._items:
                item = self._items.popleft()
                self._waiting_bytes -= len(item)
                self._changed.notify_all()
                return item
            raise self._failure or StopIteration

    def _produce(self) -> None:
        failure: BaseException | None = None
        try:
            with closing(self._source):
                for item in self._source:
                    if not self._put(item):
                        break
        except BaseException as exc:  # noqa: BLE001  raised again in the reader's thread
            failure = exc
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

    def _put(self, item: bytes) -> bool:
        """Queue an item as soon as there is room; False when the reader has left."""
        with self._changed:
            while self._items and self._waiting_bytes + len(item) > MAX_WAITING_BYTES and not self._reader_left:
                self._changed.wait()
            if self._reader_left:
                return False
            self._items.append(item)
            self._waiting_bytes += len(item)
            self._changed.notify_all()
            return True
