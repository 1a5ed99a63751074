"""Cuts raw batches into slices with a limited number of documents, so that a part or a worksheet is never too long."""

from collections.abc import Iterator

MIN_DOCUMENT_BYTES = 5


class BatchSlicer:
    """Slices of whole documents from an iterator of raw batches."""

    def __init__(self, batches: Iterator[bytes]) -> None:
        self._batches = batches
        self._batch = b""
        self._at = 0

    def more(self) -> bool:
        """Whether documents are left; reads the next batch only when the current one is used up."""
        while self._at >= len(self._batch):
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._batch, self._at = batch, 0
        return True

    def take(self, limit: int, enough: int | None = None) -> bytes:
        """The next documents of the current batch, at most `limit`, and no more once there are `enough` bytes."""
        begin, self._at = self._at, self._end(limit, enough)
        return self._batch[begin : self._at]

    def _end(self, limit: int, enough: int | None) -> int:
        """Where the slice ends. From a damaged document on, the rest of the batch is one slice: decoding it fails."""
        batch, at, batch_end = self._batch, self._at, len(self._batch)
        last = batch_end if enough is None else at + enough
        if limit * MIN_DOCUMENT_BYTES >= batch_end - at and last >= batch_end:
            return batch_end
        for _ in range(limit):
            if at >= min(last, batch_end):
                break
            size = int.from_bytes(batch[at : at + 4], "little", signed=True)
            if not MIN_DOCUMENT_BYTES <= size <= batch_end - at:
                return batch_end
            at += size
        return at
