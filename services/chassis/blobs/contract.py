"""A store of immutable blobs by key: written once by a thread, seen whole or not at all, read in ranges."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

PART = ".part"
"""Suffix under which a blob that is not committed is listed and deleted."""

CHUNK = 256 * 1024  # as fast as 1 MiB, and a download keeps less in memory
"""Bytes a read yields at a time, at most."""


class BlobError(Exception):
    """Base of what can go wrong with a store."""


class StoreFull(BlobError):
    """No space, quota used up, or the file too large for the file system."""


class StoreUnavailable(BlobError):
    """The store does not answer, or refuses access."""


class BlobMissing(BlobError):
    """There is no blob under this key."""


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What is known of a blob without reading it."""

    key: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much a store holds, in bytes."""

    free: int
    size: int


class BlobWriter(Protocol):
    """Writes one blob, from one thread that is not the event loop's."""

    def write(self, data: bytes) -> None:
        """Append. Raises StoreFull, StoreUnavailable."""

    def commit(self) -> None:
        """Make the blob durable, then visible under its key. Raises StoreFull, StoreUnavailable."""

    def abort(self) -> None:
        """Leave nothing behind; does nothing after `commit`, or a second time. Never raises."""


class BlobStore(Protocol):
    """One place for blobs. Keys are relative paths of plain names, `a/b/c.csv`."""

    def writer(self, key: str, *, media_type: str) -> BlobWriter:
        """Begin a blob; an unfinished one under the same key is begun anew, a finished one replaced at the commit."""

    async def stat(self, key: str) -> BlobStat:
        """Raises BlobMissing, StoreUnavailable."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start`, `length` of them or all; closes the blob when it is left early.

        Raises BlobMissing, StoreUnavailable, at the first chunk or later.
        """

    async def delete(self, key: str) -> None:
        """Remove a blob, or with the suffix `.part` an unfinished one; one that is not there is no error."""

    def keys(self) -> AsyncIterator[str]:
        """All keys; unfinished blobs with the suffix `.part`."""

    async def probe(self) -> None:
        """Raises StoreUnavailable when the store cannot be used now."""

    async def room(self) -> Room | None:
        """How much is free for this process; None for a store that has no size. Raises StoreUnavailable."""

    async def close(self) -> None:
        """End connections."""


def is_key(key: str) -> bool:
    """Whether a blob can have this key: no way out of the store, and no mistaking it for an unfinished one."""
    plain = all(part not in ("", ".", "..") for part in key.split("/"))
    return plain and "\\" not in key and "\0" not in key and not key.endswith(PART)


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: it is absolute, has `..`, a backslash, a NUL or an empty part, or ends in `.part`.
    """
    if not is_key(key):
        raise ValueError(f"not a blob's key: {key!r}")
    return key
