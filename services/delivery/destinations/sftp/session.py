"""Sending a file by SFTP: a hidden part that is resumed, read back, and renamed when it is right.

All attempts of one delivery write the same bytes at the same places of the same part and never shorten it. So an
attempt that was thought dead cannot spoil what a later one checked.
"""

import hashlib
import posixpath
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import asyncssh

from services.delivery.destinations.contract import DestinationError, NameTaken, Payload, RemoteFile, Step
from services.delivery.destinations.sftp.files import Files, Hash


class SftpSession:
    """A login at the server; see the contract.

    Args:
        reads: compare contents; without it nothing is read, so that a broken upload starts from its beginning.
    """

    def __init__(self, folder: str, files: Files, *, reads: bool) -> None:
        self._folder = posixpath.normpath(folder or ".")
        self._files = files
        self._reads = reads

    async def find(self, name: str) -> RemoteFile | None:
        """The file of this name."""
        path = self._path(name)
        found = await self._files.look(path, Step.READ)
        return _remote(path, found) if found else None

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """By size and content whatever `verify` says; a file that may not be read cannot be told from another."""
        if found.size != payload.size:
            return False
        try:
            return await self._files.hash(found.remote, 0, found.size, hashlib.sha256()) == payload.sha256
        except DestinationError as exc:
            if exc.code in ("permission_denied", "vanished"):
                return False
            raise

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """See the contract; a receiver may take the file away as soon as it has its name."""
        path, part = self._path(name), self._hidden(payload, "part")
        if await self._files.look(path, Step.WRITE) and not replace:
            raise NameTaken(name)
        await self._files.make_folder(self._folder)
        digest = hashlib.sha256()
        start = await self._agreed(part, payload, digest) if self._reads else 0
        await self._files.write(part, start, payload.read(start), payload.progress)
        payload.verifying()
        sent = await self._verified(part, payload, start, digest)
        if replace:
            await self._replace(part, path, self._hidden(payload, "old"))
        else:
            await self._rename(part, path)
        return _remote(path, sent)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""
        path = self._path(name)
        found = await self._files.look(path, Step.READ)
        if found is None:
            raise DestinationError(Step.READ, "no_such_file", f"There is no file {name!r}.", transient=False)
        async with aclosing(self._files.read(path, 0, found.size or 0)) as pieces:
            async for piece in pieces:
                yield piece

    async def remove(self, name: str) -> None:
        """Delete a file."""
        await self._files.remove(self._path(name))

    async def tidy(self, name: str, payload: Payload) -> None:
        """Remove the part, and end a replacement that was broken off."""
        await self._files.remove(self._hidden(payload, "part"))
        await self._settle(self._path(name), self._hidden(payload, "old"))

    def _path(self, name: str) -> str:
        return posixpath.join(self._folder, name)

    def _hidden(self, payload: Payload, ending: str) -> str:
        return self._path(f".{payload.delivery_id}.{ending}")

    async def _agreed(self, part: str, payload: Payload, digest: Hash) -> int:
        """How many bytes at the part's beginning are the payload's; they are in `digest` then.

        Reading them costs nothing more: the end of the upload reads only the rest. A server that takes requests out of
        order, or lost its power, leaves holes, so the size alone says nothing.
        """
        found = await self._files.look(part, Step.WRITE)
        size = (found.size or 0) if found else 0
        if size > payload.size:  # not made by us
            await self._files.remove(part)
        if not 0 < size <= payload.size:
            return 0
        good = 0

        def same(piece: bytes) -> None:
            nonlocal good
            digest.update(piece)
            good += len(piece)
            payload.progress(good)

        await self._files.common(part, size, payload.read(0), same)
        return good

    async def _verified(self, part: str, payload: Payload, start: int, digest: Hash) -> asyncssh.SFTPAttrs:
        """What the server says of the part, once its size and (unless nothing is read) its content are right."""
        found = await self._files.look(part, Step.WRITE)
        if found is None or found.size != payload.size:
            what = f"The server has {found.size if found else 'no'} bytes of {payload.size} after all were sent."
            raise DestinationError(Step.WRITE, "size_mismatch", what, transient=True)
        if self._reads and await self._files.hash(part, start, payload.size, digest) != payload.sha256:
            what = "What was read back is not what was sent; it was not shown, and the next attempt mends it."
            raise DestinationError(Step.WRITE, "content_mismatch", what, transient=True)
        return found

    async def _rename(self, part: str, path: str) -> None:
        """Show the part where nothing may be replaced."""
        if not await self._files.look(path, Step.WRITE):
            try:
                return await self._files.rename(part, path)
            except DestinationError:
                if not await self._files.look(path, Step.WRITE):
                    raise
        raise NameTaken(posixpath.basename(path))

    async def _replace(self, part: str, path: str, aside: str) -> None:
        """Show the part; without posix-rename there is for a moment no file of the name, never half a one."""
        if await self._files.replace(part, path):
            return
        if await self._files.look(path, Step.WRITE):
            await self._files.remove(aside)
            await self._files.rename(path, aside)
        try:
            await self._files.rename(part, path)
        except DestinationError:
            await self._settle(path, aside)
            raise
        await self._files.remove(aside)

    async def _settle(self, path: str, aside: str) -> None:
        """Remove the file that was put aside, or put it back when nothing took its place."""
        if not await self._files.look(aside, Step.DELETE):
            return
        if await self._files.look(path, Step.DELETE):
            await self._files.remove(aside)
        else:
            await self._files.rename(aside, path)


def _remote(path: str, found: asyncssh.SFTPAttrs) -> RemoteFile:
    modified = {} if found.mtime is None else {"modified": datetime.fromtimestamp(found.mtime, UTC).isoformat()}
    return RemoteFile(path, found.size or 0, modified)
