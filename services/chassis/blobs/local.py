"""Blobs in a folder: `<key>.part` is written, synced and renamed, so a crash never leaves a partial blob."""

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
        with _translate_errors():
            self._file = _create(self._part, root)

    def write(self, data: bytes) -> None:
        """Append."""
        with _translate_errors():
            self._opened().write(data)

    def commit(self) -> None:
        """Sync the file, rename it, and sync its folders."""
        file = self._opened()
        with _translate_errors():
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._part.replace(self._path)
            self._file = None
            for folder in self._path.parents:
                if folder.is_relative_to(self._root):
                    _sync_folder(folder)

    def abort(self) -> None:
        """Remove the part."""
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
    """A folder of blobs, created at the start only: later, a folder that is missing is a fault, such as a lost volume.

    Raises:
        OSError: the folder cannot be created.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root

    def writer(self, key: str, *, media_type: str) -> LocalWriter:  # noqa: ARG002  a folder stores no media types
        """Start a blob."""
        return LocalWriter(self._root, check_key(key))

    async def stat(self, key: str) -> BlobStat:
        """Size of a blob."""
        path = self._root / check_key(key)
        with self._found(key):
            found = await asyncio.to_thread(path.stat)
        if not stat.S_ISREG(found.st_mode):
            raise BlobMissing(f"{key} does not exist")
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
                with _translate_errors():
                    chunk = await asyncio.to_thread(file.read, min(CHUNK, left))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        """Remove a file, and the folders that are then empty."""
        check_key(key.removesuffix(PART))
        with _translate_errors():
            await asyncio.to_thread(_delete, self._root / key, self._root)

    async def keys(self) -> AsyncIterator[str]:
        """All files below the folder; folders that disappear or cannot be read (`lost+found`) are skipped."""
        walk = os.walk(self._root, onerror=self._walk_failed)
        while True:
            with _translate_errors():
                level = await asyncio.to_thread(next, walk, None)
            if level is None:
                return
            folder = Path(level[0]).relative_to(self._root)
            for name in level[2]:
                key = (folder / name).as_posix()
                if is_key(key.removesuffix(PART)):
                    yield key

    async def probe(self) -> None:
        """Whether the folder exists and is writable."""
        if not await asyncio.to_thread(os.access, self._root, os.W_OK | os.X_OK):
            raise StoreUnavailable(f"{self._root} does not exist or is not writable")

    async def room(self) -> Room:
        """Of the folder's file system; space reserved for root is not free."""
        with _translate_errors():
            usage = await asyncio.to_thread(shutil.disk_usage, self._root)
        return Room(usage.free, usage.total)

    async def close(self) -> None:
        """Nothing to close."""

    def _walk_failed(self, exc: OSError) -> None:
        if Path(exc.filename) == self._root:
            raise exc

    @contextmanager
    def _found(self, key: str) -> Iterator[None]:
        """Like `_translate_errors`; a missing file is BlobMissing, if the store itself exists."""
        with _translate_errors():
            try:
                yield
            except _NO_FILE as exc:
                if not self._root.is_dir():
                    raise
                raise BlobMissing(f"{key} does not exist") from exc


def _create(part: Path, root: Path) -> BinaryIO:
    """Create the file; retried, since a concurrent delete may remove the folder while it is empty."""
    for _ in range(_CREATE_TRIES):
        _require(root)
        with suppress(FileNotFoundError, FileExistsError):
            part.parent.mkdir(parents=True, exist_ok=True)
            return part.open("wb")
    raise StoreUnavailable(f"the folder of {part.name} cannot be created")


def _delete(path: Path, root: Path) -> None:
    _require(root)
    with suppress(*_NO_FILE):
        path.unlink()
    _remove_empty(path.parent, root)


def _require(root: Path) -> None:
    if not root.is_dir():
        raise StoreUnavailable(f"{root} does not exist")


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove the folder and its parents while they are empty, but never `root`."""
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
def _translate_errors() -> Iterator[None]:
    """Around system calls only, never around a yield: the reader's errors are not the store's."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise StoreFull(os.strerror(exc.errno)) from exc
        raise StoreUnavailable(exc.strerror or str(exc)) from exc
