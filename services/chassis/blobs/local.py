"""Blobs in a folder: written to `<key>.part`, synced, renamed, the folders synced, so that a crash leaves no half."""

import asyncio
import errno
import os
import shutil
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from services.chassis.blobs.contract import (
    CHUNK,
    PART,
    BlobMissing,
    BlobStat,
    Room,
    StoreFull,
    StoreUnavailable,
    check_key,
    is_key,
)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_CREATE_TRIES = 100


class LocalWriter:
    """Writes one file."""

    def __init__(self, root: Path, key: str) -> None:
        self._root = root
        self._path = root / key
        self._part = self._path.with_name(self._path.name + PART)
        self._file: BinaryIO | None = None
        with _translated():
            self._file = _create(self._part, root)

    def write(self, data: bytes) -> None:
        """Append."""
        with _translated():
            self._opened().write(data)

    def commit(self) -> None:
        """Sync, rename, sync the folders on the way."""
        file = self._opened()
        with _translated():
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._part.replace(self._path)
            self._file = None
            for folder in self._path.parents:
                if folder.is_relative_to(self._root):
                    _sync_folder(folder)

    def abort(self) -> None:
        """Remove what was written."""
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        self._file = None
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
            _remove_empty(self._part.parent, self._root)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("this blob is committed or aborted")
        return self._file


class LocalStore:
    """A folder of blobs; made if it is not there. Later it is not made again: a volume that went away is a fault.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root

    def writer(self, key: str, *, media_type: str) -> LocalWriter:  # noqa: ARG002  a folder keeps no types
        """Begin a blob."""
        return LocalWriter(self._root, check_key(key))

    async def stat(self, key: str) -> BlobStat:
        """Size of a blob."""
        path = self._root / check_key(key)
        with self._found(key):
            found = await asyncio.to_thread(path.stat)
        if not stat.S_ISREG(found.st_mode):
            raise BlobMissing(f"{key} is not there")
        return BlobStat(key, found.st_size)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes, a chunk at a time, read in threads."""
        path = self._root / check_key(key)
        with self._found(key):
            file = await asyncio.to_thread(path.open, "rb")
        try:
            file.seek(start)
            left = sys.maxsize if length is None else length
            while left > 0:
                with _translated():
                    chunk = await asyncio.to_thread(file.read, min(CHUNK, left))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        """Remove a file, and the folders that are empty then."""
        check_key(key.removesuffix(PART))
        with _translated():
            await asyncio.to_thread(_delete, self._root / key, self._root)

    async def keys(self) -> AsyncIterator[str]:
        """All files below the folder; folders in it that vanish or are not ours to read (`lost+found`) are left out."""
        walk = os.walk(self._root, onerror=self._walk_failed)
        while True:
            with _translated():
                level = await asyncio.to_thread(next, walk, None)
            if level is None:
                return
            folder = Path(level[0]).relative_to(self._root)
            for name in level[2]:
                key = (folder / name).as_posix()
                if is_key(key.removesuffix(PART)):
                    yield key

    async def probe(self) -> None:
        """Whether the folder is there and takes files."""
        if not await asyncio.to_thread(os.access, self._root, os.W_OK | os.X_OK):
            raise StoreUnavailable(f"{self._root} is not there or not writable")

    async def room(self) -> Room:
        """Of the file system the folder is on; what is kept for root is not free."""
        with _translated():
            usage = await asyncio.to_thread(shutil.disk_usage, self._root)
        return Room(usage.free, usage.total)

    async def close(self) -> None:
        """Nothing to end."""

    def _walk_failed(self, exc: OSError) -> None:
        if Path(exc.filename) == self._root:
            raise exc

    @contextmanager
    def _found(self, key: str) -> Iterator[None]:
        """As `_translated`; no file is BlobMissing while the store itself is there."""
        with _translated():
            try:
                yield
            except _NO_FILE as exc:
                if not self._root.is_dir():
                    raise
                raise BlobMissing(f"{key} is not there") from exc


def _create(part: Path, root: Path) -> BinaryIO:
    """Open the file anew, and again when somebody's delete takes an empty folder away before the file is in it."""
    for _ in range(_CREATE_TRIES):
        _require(root)
        with suppress(FileNotFoundError, FileExistsError):
            part.parent.mkdir(parents=True, exist_ok=True)
            return part.open("wb")
    raise StoreUnavailable(f"the folder of {part.name} cannot be made")


def _delete(path: Path, root: Path) -> None:
    _require(root)
    with suppress(*_NO_FILE):
        path.unlink()
    _remove_empty(path.parent, root)


def _require(root: Path) -> None:
    if not root.is_dir():
        raise StoreUnavailable(f"{root} is not there")


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove the folder and those above it while they are empty, but never `root`."""
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    """Around calls of the system only, never around a yield: the reader's own errors are not the store's."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise StoreFull(os.strerror(exc.errno)) from exc
        raise StoreUnavailable(exc.strerror or str(exc)) from exc
