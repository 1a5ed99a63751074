"""Rows with the key and the hash of each, from which manifests are made. In Python; compiled.pyx has the fast versions.

An *entry* is what a manifest needs of one row: 16 bytes that stand for its key, 16 bytes that stand for its cells as
written, the size of the key (4 bytes, little-endian), and the key. Both hashes are those of
siphash.py: the same in every process and on every machine. The key is that of `key_of`.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from bson import Binary, Int64, ObjectId

from services.exporter.transcode.batch_slicer import BatchSlicer
from services.exporter.transcode.cell_rules import row_id
from services.exporter.transcode.siphash import siphash
from services.exporter.transcode.values import as_object, documents, parts, text

HASH_BYTES = 16
RECORD_BYTES = 2 * HASH_BYTES
"""The two hashes of a row."""
ENTRY_BYTES = RECORD_BYTES + 4
"""Of an entry, without its key."""
MAX_KEY_BYTES = 4_096
"""Of all cells of a key together."""
UNCHANGED, CHANGED, ADDED, REPEATED = range(4)
"""What `sift` finds out about a row. Repeated: a row with the same key came before."""

_SIZE = struct.Struct("<I")
_CELL = struct.Struct("<cI")


class UnusableKey(Exception):
    """A product has no usable value in a field of the key: none, or one that is neither text nor a number nor an id."""

    def __init__(self, row: str, field: str) -> None:
        super().__init__(f"{row}: {field}")
        self.row = row
        self.field = field


class HashedRows(NamedTuple):
    """A batch as written to the file, with an entry for each row."""

    text: bytes
    rows: int
    entries: bytes
    """In the order of the rows."""
    ends: Sequence[int]
    """Where each row ends in `text`."""


class Transcoder(Protocol):
    """Writes batches as rows."""

    def encode(self, batch: bytes) -> tuple[bytes, int]:
        """The rows of a batch, and how many there are."""


class RowHashes:
    """Writes the rows of a transcoder, and hashes them.

    Args:
        keys: names of the fields that identify a product.
        ending: what the transcoder writes after each row; it is not hashed.
    """

    def __init__(self, transcoder: Transcoder, keys: Sequence[str], ending: bytes = b"") -> None:
        self._transcoder = transcoder
        self._keys = [(name, parts(name)) for name in keys]
        self._ending = ending

    def encode(self, batch: bytes) -> HashedRows:
        """The rows of a batch.

        Raises:
            UnusableKey: a product that has a row has no usable key.
            Exception: whatever the transcoder raises.
        """
        texts, entries, ends = [], [], []
        size = 0
        slicer = BatchSlicer(iter([batch]))
        while slicer.more():
            document = slicer.take(1)
            written, rows = self._transcoder.encode(document)
            if rows:
                size += len(written)
                texts.append(written)
                ends.append(size)
                key = self._key_of(document)
                cells = written[: len(written) - len(self._ending)]
                entries.append(digest(key) + digest(cells) + _SIZE.pack(len(key)) + key)
        return HashedRows(b"".join(texts), len(texts), b"".join(entries), ends)

    def _key_of(self, document: bytes) -> bytes:
        """The key of a document in BSON."""
        [decoded] = documents(document)
        return key_of(decoded, self._keys)

    @staticmethod
    def sorted_entries(entries: bytes) -> bytes:
        """The entries in the order of the hashes of their keys."""
        ordered: list[bytes] = sorted(_cut(entries), key=_hash_of_key)
        return b"".join(ordered)

    @staticmethod
    def grouped_entries(entries: bytes) -> tuple[bytes, list[int]]:
        """The entries grouped by the first byte of the hash of their keys, in the order of these bytes.

        Returns:
            The entries, and where the group of each byte from 0 to 255 begins; and the end.
        """
        groups: list[list[bytes]] = [[] for _ in range(256)]
        for entry in _cut(entries):
            groups[entry[0]].append(entry)
        starts = [0]
        for group in groups:
            starts.append(starts[-1] + sum(map(len, group)))
        return b"".join(entry for group in groups for entry in group), starts

    @staticmethod
    def split(entries: bytes) -> tuple[bytes, bytes, bytes]:
        """The records of sorted entries, their keys (each after its size), and a key that is there twice, if any."""
        records, keys, repeated, last = [], [], b"", b""
        for entry in _cut(entries):
            records.append(entry[:RECORD_BYTES])
            keys.append(entry[RECORD_BYTES:])
            if entry[:HASH_BYTES] == last:
                repeated = repeated or entry[ENTRY_BYTES:]
            last = entry[:HASH_BYTES]
        return b"".join(records), b"".join(keys), repeated

    @staticmethod
    def sift(records: memoryview, seen: bytearray, entries: bytes) -> bytes:
        """A byte for each entry that says how its row compares with sorted records.

        Args:
            seen: a byte for each record, which is set to 1 when a row with its key is found.
        """
        found = bytearray()
        for entry in _cut(entries):
            at = _place(records, entry[:HASH_BYTES])
            record = bytes(records[at * RECORD_BYTES : (at + 1) * RECORD_BYTES])
            if record[:HASH_BYTES] != entry[:HASH_BYTES]:
                found.append(ADDED)
            elif seen[at]:
                found.append(REPEATED)
            else:
                seen[at] = 1
                found.append(UNCHANGED if record == entry[:RECORD_BYTES] else CHANGED)
        return bytes(found)


def digest(content: bytes) -> bytes:
    """The hash of a row or of a key."""
    return siphash(content)


def key_of(document: Mapping[str, Any], keys: Sequence[tuple[str, Sequence[str]]]) -> bytes:
    """The key of a product: for each cell `n` (a number) or `s` (text), the size of its text (4 bytes), and the text.

    Args:
        keys: names of fields, each with its parts.
    """
    cells = []
    for name, path in keys:
        value = _value(document, path)
        if value.__class__ in (int, Int64):
            kind = b"n"
        elif value and value.__class__ in (str, ObjectId, Binary, bytes):
            kind = b"s"
        else:
            raise UnusableKey(row_id(document), name)
        shown = text(value).encode()
        cells.append(_CELL.pack(kind, len(shown)) + shown)
    key = b"".join(cells)
    if len(key) > MAX_KEY_BYTES:
        raise UnusableKey(row_id(document), keys[0][0])
    return key


class KeyCell(NamedTuple):
    """One cell of a key."""

    text: str
    is_number: bool


def key_cells(key: bytes) -> list[KeyCell]:
    """The cells of a key: the inverse of `key_of`."""
    cells, at = [], 0
    while at < len(key):
        kind, size = _CELL.unpack_from(key, at)
        at += _CELL.size + size
        cells.append(KeyCell(key[at - size : at].decode(), kind == b"n"))
    return cells


def _hash_of_key(entry: bytes) -> bytes:
    return entry[:HASH_BYTES]


def _value(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = document
    first, *rest = path
    for key in ["_id" if first == "id" and "id" not in document else first, *rest]:
        inner = as_object(value)
        if inner is None:
            return None
        value = inner.get(key)
    return value


def _cut(entries: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(entries):
        end = at + ENTRY_BYTES + _SIZE.unpack_from(entries, at + RECORD_BYTES)[0]
        yield entries[at:end]
        at = end


def _place(records: memoryview, key: bytes) -> int:
    """The first record whose hash of the key is not less; the number of records if there is none."""
    low, high = 0, len(records) // RECORD_BYTES
    while low < high:
        middle = (low + high) // 2
        if bytes(records[middle * RECORD_BYTES : middle * RECORD_BYTES + HASH_BYTES]) < key:
            low = middle + 1
        else:
            high = middle
    return low
