"""Lets several reads of one thread, or of several, come from the same member of a replica set.

The driver chooses a member for each read. Reads of one snapshot from different members may wait for the one that lags,
and a running query can only be killed where it runs.
"""

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pymongo.server_description import ServerDescription

LATENCY_SECONDS = 0.015
"""Members this much slower than the fastest are as good (the driver's localThresholdMS)."""

Address = tuple[str, int | None]


class Pin:
    """The member for all reads inside of `held`; chosen by the first one."""

    def __init__(self) -> None:
        self._address: Address | None = None
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, this thread's reads come from the pinned member while it is suitable, else from another one."""
        before = _current.pin
        _current.pin = self
        try:
            yield
        finally:
            _current.pin = before

    def choose(self, suitable: Sequence[ServerDescription]) -> Sequence[ServerDescription]:
        """The pinned one of these, or one that is pinned from now on."""
        with self._lock:
            found = [one for one in suitable if one.address == self._address]
            if not found:
                fastest = min(one.round_trip_time or 0.0 for one in suitable)
                near = [one for one in suitable if (one.round_trip_time or 0.0) - fastest <= LATENCY_SECONDS]
                found = [random.choice(near)]  # noqa: S311  no secret
                self._address = found[0].address
            return found


class _Current(threading.local):
    pin: Pin | None = None


_current = _Current()


def select(suitable: list[ServerDescription]) -> Sequence[ServerDescription]:
    """For `server_selector` of a client: those that meet the read preference, or the pinned one of them."""
    return suitable if _current.pin is None or not suitable else _current.pin.choose(suitable)
