"""Files and folders of an SFTP server: every call with its time limit, and its failure as a `DestinationError`."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Protocol

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY, FXF_CREAT, FXF_READ, FXF_WRITE

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.sftp import transfer
from services.delivery.destinations.sftp.errors import MISSING, calling


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class Files:
    """The files a login sees.

    Args:
        seconds: how long the server may take to answer.
    """

    def __init__(self, sftp: asyncssh.SFTPClient, seconds: float) -> None:
        self._sftp = sftp
        self._seconds = seconds
        self.read_block = transfer.block_size(sftp.limits.max_read_len)
        self._write_block = transfer.block_size(sftp.limits.max_write_len)

    async def look(self, path: str, step: Step) -> asyncssh.SFTPAttrs | None:
        """What the server says of a file, None where there is none.

        Raises:
            DestinationError: also `not_a_file` where there is a folder.
        """
        async with calling(step, self._seconds):
            try:
                found = await self._sftp.stat(path)
            except MISSING:
                return None
        if found.type == FILEXFER_TYPE_DIRECTORY:
            message = f"{path} is a folder there; choose another `file_name`."
            raise DestinationError(step, "not_a_file", message, transient=False)
        return found

    async def make_folder(self, path: str) -> None:
        """Make a folder and its parents where they are not there."""
        async with calling(Step.WRITE, self._seconds):
            # Asked first: some servers deny making a folder that exists.
            if not await self._sftp.isdir(path):
                await self._sftp.makedirs(path, exist_ok=True)

    async def rename(self, old: str, new: str) -> None:
        """SFTP's own rename, which must not overwrite (and does on some servers)."""
        async with calling(Step.WRITE, self._seconds):
            await self._sftp.rename(old, new)

    async def replace(self, old: str, new: str) -> bool:
        """Rename over what is there, in one step; False where the server cannot (posix-rename@openssh.com)."""
        async with calling(Step.WRITE, self._seconds):
            try:
                await self._sftp.posix_rename(old, new)
            except asyncssh.SFTPOpUnsupported:
                return False
        return True

    async def remove(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        async with calling(Step.DELETE, self._seconds):
            with suppress(*MISSING):
                await self._sftp.remove(path)

    @asynccontextmanager
    async def opened(self, path: str, flags: int, step: Step) -> AsyncIterator[asyncssh.SFTPClientFile]:
        """An open file, closed only after success: after a failure the session ends soon, and its files with it."""
        async with calling(step, self._seconds):
            file = await self._sftp.open(path, flags, encoding=None, block_size=0)
        yield file
        async with calling(step, self._seconds):
            await file.close()

    async def read(self, path: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from `start` to `end`, or to where it ends."""
        async with (
            self.opened(path, FXF_READ, Step.READ) as file,
            aclosing(transfer.read(file, start, end, self.read_block, self._seconds)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def hash(self, path: str, start: int, end: int, digest: Hash) -> str:
        """`digest` in hex after these bytes of a file."""
        async with aclosing(self.read(path, start, end)) as pieces:
            async for piece in pieces:
                digest.update(piece)
        return digest.hexdigest()

    async def common(self, path: str, end: int, source: AsyncIterator[bytes], same: Callable[[bytes], None]) -> None:
        """Tell `same` the pieces at the beginning of a file that are the source's too, up to `end`."""
        async with (
            self.opened(path, FXF_READ, Step.READ) as file,
            aclosing(transfer.read(file, 0, end, self.read_block, self._seconds)) as there,
            aclosing(transfer.blocks(source, self.read_block)) as here,
        ):
            async for piece in there:
                if (await anext(here, b""))[: len(piece)] != piece:
                    return
                same(piece)

    async def write(self, path: str, start: int, source: AsyncIterator[bytes], written: Callable[[int], None]) -> None:
        """Write a file from `start` on, never shortening it, and have the server put it on its disk if it can.

        Args:
            written: told the number of bytes there, as they are acknowledged.
        """
        async with self.opened(path, FXF_WRITE | FXF_CREAT, Step.WRITE) as file:
            async with aclosing(transfer.blocks(source, self._write_block)) as pieces:
                await transfer.write(file, pieces, start, self._write_block, self._seconds, written)
            async with calling(Step.WRITE, self._seconds):
                with suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()
