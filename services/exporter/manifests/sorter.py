"""Sorts the entries of any number of rows in bounded memory."""

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from services.exporter.transcode import transcoders

RUN_BYTES = 8 * 1024 * 1024
"""Entries that are kept in memory; the last batch may exceed it."""


class EntrySorter:
    """Takes entries in any order, and returns them sorted.

    Full runs are appended to a temporary file, grouped by the first byte of the hashes of their keys. These are spread
    evenly, so the groups of all runs with the same byte are about 1/256 of all. They are read and sorted together.
    """

    def __init__(self, folder: str | None, run_bytes: int = RUN_BYTES) -> None:
        self._folder = folder
        self._run_bytes = run_bytes
        self._waiting: list[bytes] = []
        self._size = 0
        self._file: BinaryIO | None = None
        self._runs: list[tuple[int, list[int]]] = []
        """Where each run begins in the file, and where its groups begin in the run."""
        self._tools = transcoders().row_hashes

    def add(self, entries: bytes) -> None:
        """Take some entries."""
        self._waiting.append(entries)
        self._size += len(entries)
        if self._size >= self._run_bytes:
            self._spill()

    def slices(self) -> Iterator[bytes]:
        """All entries in the order of the hashes of their keys, in pieces."""
        if self._file is None:
            if self._waiting:
                yield self._tools.sorted_entries(b"".join(self._waiting))
            return
        if self._waiting:
            self._spill()
        for byte in range(256):
            pieces = [self._piece(begin, starts[byte], starts[byte + 1]) for begin, starts in self._runs]
            if together := b"".join(pieces):
                yield self._tools.sorted_entries(together)

    def close(self) -> None:
        """Remove the temporary file."""
        self._waiting = []
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        run, starts = self._tools.grouped_entries(b"".join(self._waiting))
        self._waiting, self._size = [], 0
        if self._file is None:
            self._file = cast(BinaryIO, TemporaryFile(dir=self._folder))  # noqa: SIM115  closed by `close`
        self._runs.append((self._file.tell(), starts))
        self._file.write(run)

    def _piece(self, begin: int, start: int, end: int) -> bytes:
        if self._file is None or start == end:
            return b""
        self._file.seek(begin + start)
        return self._file.read(end - start)
