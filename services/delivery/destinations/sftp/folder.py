"""A platform's folder on an SFTP server; every call has a time limit.

All attempts of one delivery write the same bytes at the same offsets of the same part and never shorten it. So an
attempt that was believed dead cannot damage what a later one has verified.
"""

import hashlib
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY, FXF_CREAT, FXF_READ, FXF_WRITE

from services.delivery.destinations.contract import DestinationError, Payload, RemoteFile, Step
from services.delivery.destinations.kit.blocks import blocks, hexdigest
from services.delivery.destinations.sftp import transfer
from services.delivery.destinations.sftp.errors import MISSING, translate_errors


class SftpFolder:
    """The folder `path` of a login; see `RemoteFolder`.

    Args:
        seconds: time limit for each answer of the server.
        reads: compare contents; without it nothing is read, so that a broken upload starts from scratch.
    """

    def __init__(self, sftp: asyncssh.SFTPClient, path: str, seconds: float, *, reads: bool) -> None:
        self._sftp = sftp
        self._path = posixpath.normpath(path or ".")
        self._seconds = seconds
        self._reads = reads
        self._read_block = transfer.block_size(sftp.limits.max_read_len)
        self._write_block = transfer.block_size(sftp.limits.max_write_len)

    def path(self, name: str) -> str:
        """The path on the server."""
        return posixpath.join(self._path, name)

    async def check(self) -> None:
        """Ask for the login folder."""
        async with self._call(Step.CONNECT):
            await self._sftp.stat(".")

    async def make(self) -> None:
        """Create the folder and its parents; checked first, since some servers deny creating an existing folder."""
        async with self._call(Step.WRITE):
            if not await self._sftp.isdir(self._path):
                await self._sftp.makedirs(self._path, exist_ok=True)

    async def stat(self, name: str, step: Step) -> RemoteFile | None:
        """Size and time of a file.

        Raises:
            DestinationError: also `not_a_file`, if it is a folder.
        """
        path = self.path(name)
        async with self._call(step):
            try:
                found = await self._sftp.stat(path)
            except MISSING:
                return None
        if found.type == FILEXFER_TYPE_DIRECTORY:
            message = f"{path} is a folder on the server; choose another `file_name`."
            raise DestinationError(step, "not_a_file", message, transient=False)
        modified = {} if found.mtime is None else {"modified": datetime.fromtimestamp(found.mtime, UTC).isoformat()}
        return RemoteFile(path, found.size or 0, modified)

    async def upload(self, part: str, existing: RemoteFile | None, payload: Payload) -> Mapping[str, str]:
        """Resume after the bytes of the part that are right; at the end only the others are read back."""
        digest = hashlib.sha256()
        start = await self._correct_bytes(part, existing, payload, digest) if self._reads else 0
        await self._write(part, start, payload)
        payload.verifying()
        found = await self.stat(part, Step.WRITE)
        if found is None or found.size != payload.size:
            what = f"The server has {found.size if found else 'no'} bytes of {payload.size} after all were sent."
            raise DestinationError(Step.WRITE, "size_mismatch", what, transient=True)
        if self._reads and await self._hash(part, start, payload.size, digest) != payload.sha256:
            what = "What was read back is not what was sent; it was not shown, and the next attempt repairs it."
            raise DestinationError(Step.WRITE, "content_mismatch", what, transient=True)
        return found.reported

    async def same_content(self, found: RemoteFile, name: str, payload: Payload) -> bool:
        """By reading it; a file that may not be read counts as another."""
        try:
            return await self._hash(name, 0, found.size, hashlib.sha256()) == payload.sha256
        except DestinationError as exc:
            if exc.code in ("permission_denied", "vanished"):
                return False
            raise

    async def rename(self, old: str, new: str) -> None:
        """SFTP's own rename, which must not overwrite (and does on some servers)."""
        async with self._call(Step.WRITE):
            await self._sftp.rename(self.path(old), self.path(new))

    async def replace(self, old: str, new: str) -> bool:
        """By posix-rename@openssh.com, where the server has it."""
        async with self._call(Step.WRITE):
            try:
                await self._sftp.posix_rename(self.path(old), self.path(new))
            except asyncssh.SFTPOpUnsupported:
                return False
        return True

    async def remove(self, name: str) -> None:
        """Delete a file."""
        async with self._call(Step.DELETE):
            with suppress(*MISSING):
                await self._sftp.remove(self.path(name))

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""
        found = await self.stat(name, Step.READ)
        if found is None:
            raise DestinationError(Step.READ, "no_such_file", f"There is no file {name!r}.", transient=False)
        async with aclosing(self._read(name, 0, found.size)) as pieces:
            async for piece in pieces:
                yield piece

    async def _correct_bytes(
        self, part: str, existing: RemoteFile | None, payload: Payload, digest: "hashlib._Hash"
    ) -> int:
        """How many bytes at the part's beginning are the payload's; `digest` is updated with them.

        A server that takes requests out of order, or lost its power, leaves holes, so the size alone proves nothing.
        """
        size = existing.size if existing else 0
        if size > payload.size:  # not written by an attempt of this delivery
            await self.remove(part)
        if not 0 < size <= payload.size:
            return 0
        correct = 0

        def same(piece: bytes) -> None:
            nonlocal correct
            digest.update(piece)
            correct += len(piece)
            payload.progress(correct)

        await self._compare(part, size, payload.read(0), same)
        return correct

    async def _compare(self, name: str, end: int, source: AsyncIterator[bytes], same: Callable[[bytes], None]) -> None:
        """Call `same` with the pieces at the beginning of a file that equal the source's, up to `end`."""
        async with (
            self._opened(name, FXF_READ, Step.READ) as file,
            aclosing(transfer.read(file, 0, end, self._read_block, self._seconds)) as remote,
            aclosing(blocks(source, self._read_block)) as local,
        ):
            async for piece in remote:
                if (await anext(local, b""))[: len(piece)] != piece:
                    return
                same(piece)

    async def _write(self, name: str, start: int, payload: Payload) -> None:
        """Write a file from `start` on, never shortening it, and flush it to the server's disk if it can do that."""
        async with self._opened(name, FXF_WRITE | FXF_CREAT, Step.WRITE) as file:
            async with aclosing(blocks(payload.read(start), self._write_block)) as pieces:
                await transfer.write(file, pieces, start, self._write_block, self._seconds, payload.progress)
            async with self._call(Step.WRITE):
                with suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()

    async def _read(self, name: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        async with (
            self._opened(name, FXF_READ, Step.READ) as file,
            aclosing(transfer.read(file, start, end, self._read_block, self._seconds)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def _hash(self, name: str, start: int, end: int, digest: "hashlib._Hash") -> str:
        async with aclosing(self._read(name, start, end)) as pieces:
            return await hexdigest(pieces, digest)

    @asynccontextmanager
    async def _opened(self, name: str, flags: int, step: Step) -> AsyncIterator[asyncssh.SFTPClientFile]:
        """An open file, closed only after success: after a failure the session ends soon, and its files with it."""
        async with self._call(step):
            file = await self._sftp.open(self.path(name), flags, encoding=None, block_size=0)
        yield file
        async with self._call(step):
            await file.close()

    def _call(self, step: Step) -> AbstractAsyncContextManager[None]:
        return translate_errors(step, self._seconds)
