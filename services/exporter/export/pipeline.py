"""Lets the stages of an export overlap: each runs in a thread of its own, a bounded number of bytes ahead of the next.

A stage that is slow slows down those before it, and nothing piles up. A failure travels on to whoever takes, leaving
travels back to whoever makes, and `stop` ends them all, also while one of them waits for a server.
"""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import closing
from types import TracebackType

ROOM = 4 * 1024 * 1024
"""Bytes that wait between two stages, at most; a larger item waits alone."""
LOOK_SECONDS = 0.1
"""Between two looks at `stop` while a stage waits."""


class Stopped(Exception):
    """The attempt was told to stop: cancelled, lost its lease, or the process ends."""


class Ahead:
    """What `source` yields, made ahead in a thread that starts when the first item is asked for.

    On leaving, the source is closed and its thread has ended. Only one that hangs when `stop` is set is not waited
    for: it ends with what it hangs in.
    """

    def __init__(self, source: Generator[bytes, None, None], stop: threading.Event, *, name: str) -> None:
        self._source = source
        self._stop = stop
        self._thread = threading.Thread(target=self._make, name=name, daemon=True)
        self._changed = threading.Condition()
        self._items: deque[bytes] = deque()
        self._waiting = 0
        self._left = False
        self._ended = False
        self._failure: BaseException | None = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._left = True
            self._items.clear()
            self._changed.notify_all()
        if self._thread.ident is None:
            self._source.close()
            return
        while self._thread.is_alive() and not self._stop.is_set():
            self._thread.join(LOOK_SECONDS)
        self._thread.join(LOOK_SECONDS)

    def __iter__(self) -> "Ahead":
        return self

    def __next__(self) -> bytes:
        """The next item.

        Raises:
            Stopped: `stop` was set.
            Whatever the source raised.
        """
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            while not self._items and not self._ended and not self._stop.is_set():
                self._changed.wait(LOOK_SECONDS)
            if self._stop.is_set():
                raise Stopped
            if self._items:
                item = self._items.popleft()
                self._waiting -= len(item)
                self._changed.notify_all()
                return item
            raise self._failure or StopIteration

    def _make(self) -> None:
        failure: BaseException | None = None
        try:
            with closing(self._source):
                for item in self._source:
                    if not self._put(item):
                        break
        except BaseException as exc:  # noqa: BLE001  it is raised where the items are taken
            failure = exc
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

    def _put(self, item: bytes) -> bool:
        """Let an item wait once there is room; False when nobody takes any more."""
        with self._changed:
            while self._items and self._waiting + len(item) > ROOM and not self._left:
                self._changed.wait()
            if self._left:
                return False
            self._items.append(item)
            self._waiting += len(item)
            self._changed.notify_all()
            return True
