"""The documents of a sheet, read once for two purposes: the first ones also tell the header which columns to expect."""

from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType

from services.exporter.prefetch import Prefetch

SAMPLE_BYTES = 4 * 1024 * 1024
"""Documents that are kept in memory until the format reads them; the last batch may exceed it."""


class SheetReader:
    """Iterates over the batches of a sheet. Closes `batches` on exit."""

    def __init__(self, batches: Prefetch) -> None:
        self._batches = batches
        self._ahead: deque[bytes] = deque()
        self._current = b""

    def __enter__(self) -> "SheetReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._batches.__exit__(kind, exc, traceback)

    def __iter__(self) -> "SheetReader":
        return self

    def __next__(self) -> bytes:
        """The next batch.

        Raises:
            Stopped: the attempt was stopped.
        """
        self._current = self._ahead.popleft() if self._ahead else next(self._batches)
        return self._current

    def sample(self) -> Sequence[bytes]:
        """The first batches; the iteration begins with them all the same."""
        size = 0
        while size < SAMPLE_BYTES and (batch := next(self._batches, None)) is not None:
            self._ahead.append(batch)
            size += len(batch)
        return tuple(self._ahead)

    def unwritten(self) -> Iterator[bytes]:
        """The current batch again, of which not all may be written, and those after it."""
        yield self._current
        yield from self
