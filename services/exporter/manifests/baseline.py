"""The manifest of an earlier export as local files, with which the rows of a new one are compared."""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import zstandard

from services.exporter.manifests.manifest import BLOCK_HEADER, KEYS, RECORDS
from services.exporter.transcode import transcoders
from services.exporter.transcode.row_hashes import RECORD_BYTES

_SIZE = struct.Struct("<I")
MAX_BLOCK_BYTES = 64 * 1024 * 1024


class BaselineDamaged(Exception):
    """The files are not those of a manifest."""


class Baseline:
    """Compares rows with those of a manifest, and says which of its rows were not found.

    The records are mapped into memory and looked up where they are, so the system can drop them. Beside them there is
    one byte for each row.

    Args:
        folder: has the two blobs of the manifest as the files `.records` and `.keys`.
        rows: of the manifest.

    Raises:
        BaselineDamaged: the files have another size.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self._keys = folder / KEYS
        self._rows = rows
        self._sift = transcoders().row_hashes.sift
        path = folder / RECORDS
        if path.stat().st_size != rows * RECORD_BYTES:
            raise BaselineDamaged(f"{path.stat().st_size} bytes are not {rows} records")
        self._map: mmap.mmap | None = None
        if rows:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.restart()

    def __enter__(self) -> "Baseline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._map is not None:
            self._map.close()

    def restart(self) -> None:
        """Forget which rows were found."""
        self._seen = bytearray(self._rows)

    def sift(self, entries: bytes) -> bytes:
        """A byte for each entry, as `RowHashes.sift`."""
        with memoryview(self._map or b"") as records:
            return self._sift(records, self._seen, entries)

    def missing(self) -> int:
        """How many rows were not found so far."""
        return self._seen.count(0)

    def missing_keys(self) -> Iterator[bytes]:
        """The keys of the rows that were not found, in the order of the manifest."""
        at = self._seen.find(0)
        with self._keys.open("rb") as file:
            first = 0
            while at >= 0:
                count, size = BLOCK_HEADER.unpack(file.read(BLOCK_HEADER.size))
                if at < first + count:
                    for number, key in enumerate(_cut(file.read(size)), first):
                        if number == at:
                            yield key
                            at = self._seen.find(0, at + 1)
                else:
                    file.seek(size, 1)
                first += count


def _cut(block: bytes) -> Iterator[bytes]:
    keys = zstandard.ZstdDecompressor().decompress(block, max_output_size=MAX_BLOCK_BYTES)
    at = 0
    while at < len(keys):
        size = _SIZE.unpack_from(keys, at)[0]
        yield keys[at + 4 : at + 4 + size]
        at += 4 + size
