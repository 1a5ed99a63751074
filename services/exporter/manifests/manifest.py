"""What is known of a manifest, and of the rows that a file with changes has. Pure.

A manifest is two blobs. `<key>.records` has 32 bytes for each row, sorted: the hash of the row's key and the hash of
its cells (see transcode/row_hashes.py). `<key>.keys` has the keys themselves in the same order, in blocks: the
number of keys, the size of what follows (4 bytes each, little-endian), and the keys, each after its size, compressed
with zstd. Only deleted rows need them.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

RECORDS, KEYS = ".records", ".keys"
"""The suffixes of a manifest's blobs."""
SUFFIXES = (RECORDS, KEYS)
BLOCK_HEADER = struct.Struct("<2I")
"""The number of keys of a block, and its bytes after this header."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A stored manifest."""

    key: str
    """Of its blobs in the artifact store, without their suffixes."""
    rows: int
    size: int
    """Bytes of both blobs."""
    columns: str
    """Stands for the header of the file; the rows of files with other headers cannot be compared."""
    options: str
    """Stands for the options that decide how a row is written."""
    fields: tuple[str, ...] = ()
    """Of the key."""
    keep_seconds: float = 0.0
    """How long after the end of the job it is kept."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a file with changes has, and what it is based on."""

    base_job_id: str = ""
    """Empty: the file has all rows, because there was no usable base."""
    base_sha256: str = ""
    """Of the file of the base."""
    number: int = 0
    """In the chain of files: that of the base plus 1. A file with all rows has 0."""
    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    skips_delivery: bool = False
    """There are no changes, and the request asked not to deliver such a file."""


def columns_id(columns: Sequence[str], *others: object) -> str:
    """What stands for a header in a manifest, and for other facts on which the cells depend."""
    text = json.dumps([list(columns), *others], ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
