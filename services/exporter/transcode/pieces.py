"""Cuts raw batches to the documents that still fit into a part or a worksheet, before any of them is transcoded."""

from collections.abc import Iterator

SHORTEST = 5
"""Bytes of the smallest document."""


class Pieces:
    """Batches of whole documents, taken a piece at a time."""

    def __init__(self, batches: Iterator[bytes]) -> None:
        self._batches = batches
        self._batch = b""
        self._at = 0

    def more(self) -> bool:
        """Whether documents are left; the next batch is read when they may be there only."""
        while self._at >= len(self._batch):
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._batch, self._at = batch, 0
        return True

    def take(self, most: int) -> bytes:
        """The next documents of this batch, at most so many."""
        begin, self._at = self._at, self._end(most)
        return self._batch[begin : self._at]

    def _end(self, most: int) -> int:
        """Where the next documents end; a damaged one ends with its batch: whoever decodes it will say so."""
        batch, at, whole = self._batch, self._at, len(self._batch)
        if most * SHORTEST >= whole - at:
            return whole
        for _ in range(most):
            if at == whole:
                break
            size = int.from_bytes(batch[at : at + 4], "little", signed=True)
            if not SHORTEST <= size <= whole - at:
                return whole
            at += size
        return at
