"""Writes the blobs of a manifest."""

from collections.abc import Callable
from contextlib import ExitStack

import zstandard

from services.chassis.blobs.contract import BlobWriter
from services.exporter.manifests.manifest import BLOCK_HEADER, KEYS, RECORDS
from services.exporter.manifests.sorter import EntrySorter
from services.exporter.transcode import transcoders
from services.exporter.transcode.row_hashes import RECORD_BYTES

LEVEL = 1


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
    compressor = zstandard.ZstdCompressor(level=LEVEL)
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
            block = compressor.compress(keys_of_slice)
            keys.write(BLOCK_HEADER.pack(len(of_slice) // RECORD_BYTES, len(block)) + block)
            size += BLOCK_HEADER.size + len(block)
        records.commit()
        keys.commit()
    return rows, size
