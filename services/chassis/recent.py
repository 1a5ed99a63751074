"""Values that are used again for a few seconds, so that many small requests do not each ask the database."""

import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")

MAX_ENTRIES = 10_000


class Recent(Generic[Value]):
    """Values by key; usable from several threads.

    Args:
        seconds: how long a value may be used.
        max_entries: with more of them, the oldest are dropped.
    """

    def __init__(self, seconds: float, *, max_entries: int = MAX_ENTRIES) -> None:
        self._seconds = seconds
        self._max_entries = max_entries
        self._entries: OrderedDict[str, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        """The value, if it was put less than `seconds` ago."""
        found = self._entries.get(key)
        return found[1] if found is not None and time.monotonic() - found[0] < self._seconds else None

    def put(self, key: str, value: Value) -> None:
        """Keep a value from now on."""
        with self._lock:
            self._entries[key] = (time.monotonic(), value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget a value that has changed."""
        self._entries.pop(key, None)
