"""Writes the blobs of a manifest."""

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import zstandard

from services.chassis.blobs.contract import BlobWriter
from services.exporter.manifests.manifest import BLOCK_KEYS, KEYS, RECORDS
from services.exporter.manifests.sorter import EntrySorter
from services.exporter.transcode import transcoders
from services.exporter.transcode.row_hashes import RECORD_BYTES

_SIZE = struct.Struct("<I")
LEVEL = 3


class RepeatedKey(Exception):
    """Two rows have the same key."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


def write_manifest(sorter: EntrySorter, open_writer: Callable[[str], BlobWriter]) -> tuple[int, int]:
    """Sort the entries and store them; returns the number of rows and the bytes that were written.

    Args:
        open_writer: opens the blob with this suffix.

    Raises:
        RepeatedKey: two rows have the same key; then nothing is stored.
        BlobError: the store failed.
    """
    rows = size = 0
    blocks = _Blocks()
    split = transcoders().row_hashes.split
    with ExitStack() as stack:
        records = open_writer(RECORDS)
        stack.callback(records.abort)  # which does nothing after the commit
        keys = open_writer(KEYS)
        stack.callback(keys.abort)
        for entries in sorter.slices():
            of_slice, keys_of_slice, repeated = split(entries)
            if repeated:
                raise RepeatedKey(repeated)
            records.write(of_slice)
            rows += len(of_slice) // RECORD_BYTES
            size += len(of_slice)
            for block in blocks.add(keys_of_slice):
                keys.write(block)
                size += len(block)
        for block in blocks.rest():
            keys.write(block)
            size += len(block)
        records.commit()
        keys.commit()
    return rows, size


class _Blocks:
    """Cuts a stream of keys into blocks, and compresses these."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._waiting = bytearray()
        self._count = 0

    def add(self, keys: bytes) -> Iterator[bytes]:
        at = begin = 0
        while at < len(keys):
            at += 4 + _SIZE.unpack_from(keys, at)[0]
            self._count += 1
            if self._count == BLOCK_KEYS:
                self._waiting += keys[begin:at]
                begin = at
                yield from self.rest()
        self._waiting += keys[begin:]

    def rest(self) -> Iterator[bytes]:
        if self._waiting:
            block = self._compressor.compress(bytes(self._waiting))
            self._waiting, self._count = bytearray(), 0
            yield _SIZE.pack(len(block)) + block
