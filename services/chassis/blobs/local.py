"""Blobs in a folder: written to `<key>.part`, synced, renamed, the folders synced, so that a crash leaves no half."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from services.chassis.blobs.contract import CHUNK, PART, BlobMissing, BlobStat, StoreFull, StoreUnavailable, check_key

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalWriter:
    """Writes one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._file: BinaryIO | None = None
        with _translated(path):
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb")

    def write(self, data: bytes) -> None:
        """Append."""
        with _translated(self._path):
            self._opened().write(data)

    def commit(self) -> None:
        """Sync, rename, sync the folders on the way."""
        file = self._opened()
        with _translated(self._path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._part.replace(self._path)
            for folder in list(self._path.parents)[:4]:
                _sync_folder(folder)
        self._file = None

    def abort(self) -> None:
        """Remove what was written."""
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        self._file = None
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
            _remove_empty(self._part.parent, 3)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("this blob is committed or aborted")
        return self._file


class LocalStore:
    """A folder of blobs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def writer(self, key: str, *, media_type: str) -> LocalWriter:  # noqa: ARG002  a folder keeps no types
        """Begin a blob."""
        return LocalWriter(self._path(key))

    async def stat(self, key: str) -> BlobStat:
        """Size of a blob."""
        path = self._path(key)
        with _translated(path):
            found = await asyncio.to_thread(path.stat)
        return BlobStat(key, found.st_size)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes, a chunk at a time, read in threads."""
        path = self._path(key)
        with _translated(path):
            file = await asyncio.to_thread(path.open, "rb")
            try:
                file.seek(start)
                left = length if length is not None else -1
                while left:
                    chunk = await asyncio.to_thread(file.read, CHUNK if left < 0 else min(CHUNK, left))
                    if not chunk:
                        return
                    left -= len(chunk) if left > 0 else 0
                    yield chunk
            finally:
                file.close()

    async def delete(self, key: str) -> None:
        """Remove a file, and the folders that are empty then."""
        path = self._path(key)
        with _translated(path):
            await asyncio.to_thread(_delete, path, self._root)

    async def keys(self) -> AsyncIterator[str]:
        """All files below the folder."""
        walk = os.walk(self._root)
        while (level := await asyncio.to_thread(next, walk, None)) is not None:
            folder, _, names = level
            for name in names:
                yield (Path(folder) / name).relative_to(self._root).as_posix()

    async def probe(self) -> None:
        """Whether the folder is there, or can be made, and takes files."""
        with _translated(self._root):
            await asyncio.to_thread(self._root.mkdir, parents=True, exist_ok=True)
        if not os.access(self._root, os.W_OK):
            raise StoreUnavailable(f"{self._root} is not writable")

    async def close(self) -> None:
        """Nothing to end."""


def _delete(path: Path, root: Path) -> None:
    path.unlink(missing_ok=True)
    _remove_empty(path.parent, len(path.parent.relative_to(root).parts))


def _remove_empty(folder: Path, levels: int) -> None:
    """Remove `folder` and up to `levels` - 1 of its parents while they are empty."""
    with suppress(OSError):
        for empty in [folder, *folder.parents][:levels]:
            empty.rmdir()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise BlobMissing(f"{path.name} is not there") from exc
    except OSError as exc:
        if exc.errno in _FULL:
            raise StoreFull(f"{os.strerror(exc.errno)}") from exc
        raise StoreUnavailable(f"{exc.strerror or exc}") from exc
