"""A store of immutable blobs by key: written once by a thread, visible only when complete, read in ranges."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

PART = ".part"
"""Suffix under which uncommitted blobs are listed and deleted."""

CHUNK = 256 * 1024  # as fast as 1 MiB, and a download keeps less in memory
"""Bytes a read yields at a time, at most."""


class BlobError(Exception):
    """Base class of the errors of a store."""


class StoreFull(BlobError):
    """No space, quota used up, or the file is too large for the file system."""


class StoreUnavailable(BlobError):
    """The store does not answer, or denies access."""


class BlobMissing(BlobError):
    """There is no blob with this key."""


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What a store knows about a blob without reading it."""

    key: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Room:
    """Free space and size of a store, in bytes."""

    free: int
    size: int


class BlobWriter(Protocol):
    """Writes one blob, from a thread other than the event loop's."""

    def write(self, data: bytes) -> None:
        """Append. Raises StoreFull, StoreUnavailable."""

    def commit(self) -> None:
        """Make the blob durable, then visible under its key. Raises StoreFull, StoreUnavailable."""

    def abort(self) -> None:
        """Remove what was written; does nothing after `commit` or a previous `abort`. Never raises."""


class BlobStore(Protocol):
    """A store. Keys are relative paths of plain names, such as `a/b/c.csv`."""

    def writer(self, key: str, *, media_type: str) -> BlobWriter:
        """Start a blob; an unfinished one of the same key is started over, a finished one is replaced by the commit."""

    async def stat(self, key: str) -> BlobStat:
        """Raises BlobMissing, StoreUnavailable."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start`, `length` of them or all; closes the blob if the caller stops early.

        Raises BlobMissing, StoreUnavailable, at the first chunk or later.
        """

    async def delete(self, key: str) -> None:
        """Remove a blob, or with the suffix `.part` an unfinished one; no error if it does not exist."""

    def keys(self) -> AsyncIterator[str]:
        """All keys; those of unfinished blobs have the suffix `.part`."""

    async def probe(self) -> None:
        """Raises StoreUnavailable if the store cannot be used now."""

    async def room(self) -> Room | None:
        """The space that this process may use; None for a store without a size. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Close connections."""


def is_key(key: str) -> bool:
    """Whether a key is valid: it does not lead out of the store, and is not that of an unfinished blob."""
    plain = all(part not in ("", ".", "..") for part in key.split("/"))
    return plain and "\\" not in key and "\0" not in key and not key.endswith(PART)


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: it is absolute, has `..`, a backslash, a NUL or an empty part, or ends in `.part`.
    """
    if not is_key(key):
        raise ValueError(f"invalid blob key: {key!r}")
    return key
