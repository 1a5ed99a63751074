"""Where a download is written: a part file, which becomes the file once it is complete and verified, or a stream."""

import hashlib
import os
import sys
from pathlib import Path
from typing import BinaryIO, Protocol

from catalog_exports.client.errors import ChecksumMismatch

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BLOCK = 1 << 20
MAX_PARTS = 100
"""Downloads of one file to one place at the same time."""
_LOCKED_BYTE = (1 << 31) - 1


class Sink(Protocol):
    """Takes the bytes of a file in order and hashes them."""

    size: int

    def write(self, chunk: bytes) -> None:
        """Append."""

    def restart(self) -> None:
        """Begin again with an empty file."""

    def sha256(self) -> str:
        """Of everything written, lower-case hex."""


class PartFile:
    """`.<name>.<hash>.part` beside the file. What an earlier download left there is continued.

    The name has the hash of the whole file, so that a part is never continued with another export. A part is locked:
    two downloads of the same file at the same time have a part each.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self.path = path
        self.part, self._file = _open_part(path.with_name(f".{path.name[:200]}.{sha256[:12]}"))
        self.size = 0
        self._hash = hashlib.sha256()
        self._file.seek(0)
        while block := self._file.read(BLOCK):
            self._hash.update(block)
            self.size += len(block)
        self.was_continued = self.size > 0

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Begin again with an empty file."""
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size, self.was_continued = 0, False

    def sha256(self) -> str:
        """Of everything written, lower-case hex."""
        return self._hash.hexdigest()

    def keep(self) -> None:
        """Give the complete file its name, in place of a file that has it."""
        if sys.platform == "win32":  # an open file cannot be moved there
            self.close()
        self._file.flush()
        self.part.replace(self.path)
        self.close()

    def discard(self) -> None:
        """Remove the part."""
        if sys.platform == "win32":
            self.close()
        self.part.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Keep the part for the next attempt."""
        self._file.close()


def _open_part(stem: Path) -> tuple[Path, BinaryIO]:
    """Open and lock the first part that no other download is writing."""
    for number in range(MAX_PARTS):
        part = stem.with_name(f"{stem.name}.{number}.part" if number else f"{stem.name}.part")
        file = part.open("a+b")
        if _is_locked(file) and _is_at(part, file):
            return part, file
        file.close()
    raise OSError(f"{MAX_PARTS} downloads to {stem.parent} are running")


def _is_locked(file: BinaryIO) -> bool:
    """Lock the file; False: another download has locked it."""
    try:
        if sys.platform == "win32":
            os.lseek(file.fileno(), _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether the open file still has this path: the download that had locked it may have moved or removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


class StreamSink:
    """Writes to an open stream, such as standard output."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = 0
        self._stream = stream
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._stream.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Raise ChecksumMismatch: what was written cannot be taken back."""
        raise ChecksumMismatch("the file changed while it was downloaded")

    def sha256(self) -> str:
        """Of everything written, lower-case hex."""
        return self._hash.hexdigest()


def target(to: Path | None, file_name: str) -> Path:
    """The file to write: `to`, or a file in that folder, with the name that the API gives it."""
    name = Path(file_name.replace("\\", "/")).name  # never a folder of the server's choice
    name = "export" if name in ("", "..") else name
    if to is None:
        return Path(name)
    return to / name if to.is_dir() else to
