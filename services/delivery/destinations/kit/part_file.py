"""Uploads through a hidden part in the target folder: write, verify, rename. For servers with plain files (SFTP, FTP).

Readers see the old file or the whole new one. Where a server cannot rename over an existing file, the old file is first
set aside under a hidden name; if that is interrupted, the next attempt finishes it, or `tidy` puts the old file back.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Protocol

from services.delivery.destinations.contract import DestinationError, NameTaken, Payload, RemoteFile, Step


class RemoteFolder(Protocol):
    """One folder of a server. Names are file names without a path; every method raises DestinationError."""

    def path(self, name: str) -> str:
        """Where a file is, for people."""

    async def check(self) -> None:
        """Ask the server for something small, to see that the connection works and the folder is still there."""

    async def make(self) -> None:
        """Create the folder and its parents if they do not exist."""

    async def stat(self, name: str, step: Step) -> RemoteFile | None:
        """The file, or None if the file or the folder does not exist."""

    async def upload(self, part: str, existing: RemoteFile | None, payload: Payload) -> Mapping[str, str]:
        """Write the payload to `part`, call `payload.verifying()`, and verify size and content.

        Args:
            existing: what an earlier attempt left of the part; it may be resumed.

        Returns:
            What the server reports of the verified part, for `RemoteFile.reported`.
        """

    async def same_content(self, found: RemoteFile, name: str, payload: Payload) -> bool:
        """Whether a file of the payload's size has its content."""

    async def rename(self, old: str, new: str) -> None:
        """Rename to a name that is free; some servers overwrite an existing file, others fail."""

    async def replace(self, old: str, new: str) -> bool:
        """Rename over an existing file in one step; False if the server cannot."""

    async def remove(self, name: str) -> None:
        """Delete a file; no error if it does not exist."""

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""


class FolderSession:
    """A session at a folder; see the contract."""

    def __init__(self, folder: RemoteFolder) -> None:
        self._folder = folder

    async def is_alive(self) -> bool:
        """Whether the server still answers."""
        try:
            await self._folder.check()
        except DestinationError:
            return False
        return True

    async def find(self, name: str) -> RemoteFile | None:
        """The file of this name."""
        return await self._folder.stat(_checked(name), Step.READ)

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """By size and content, whatever `verify` says: two exports often have the same size."""
        name = found.remote.rpartition("/")[2]
        return found.size == payload.size and await self._folder.same_content(found, name, payload)

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """Upload as a part, verify it, then rename it. A receiver may take the file as soon as it has its name."""
        part = _part(payload)
        if await self._folder.stat(_checked(name), Step.WRITE) and not replace:
            raise NameTaken(name)
        await self._folder.make()
        existing = await self._folder.stat(part, Step.WRITE)
        reported = await self._folder.upload(part, existing, payload)
        if replace:
            await self._replace(part, name, _aside(payload), resumed=existing is not None)
        else:
            await self._rename(part, name)
        return RemoteFile(self._folder.path(name), payload.size, reported)

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""
        return self._folder.read(_checked(name))

    async def remove(self, name: str) -> None:
        """Delete a file."""
        await self._folder.remove(_checked(name))

    async def tidy(self, name: str, payload: Payload) -> None:
        """Delete the part, and finish or undo a replacement that was interrupted."""
        _checked(name)
        await self._folder.remove(_part(payload))
        await self._settle(name, _aside(payload), Step.DELETE)

    async def _rename(self, part: str, name: str) -> None:
        """Show the part without replacing anything. Checked before, as some servers overwrite, and after a failure."""
        if await self._folder.stat(name, Step.WRITE):
            raise NameTaken(name)
        try:
            await self._folder.rename(part, name)
        except DestinationError as exc:
            if await self._folder.stat(name, Step.WRITE):
                raise NameTaken(name) from exc
            raise

    async def _replace(self, part: str, name: str, aside: str, *, resumed: bool) -> None:
        """Show the part in place of an existing file, if there is one.

        Args:
            resumed: an earlier attempt may have been interrupted with the old file set aside.
        """
        if await self._folder.replace(part, name):
            if resumed:
                await self._folder.remove(aside)
            return
        if await self._folder.stat(name, Step.WRITE):
            await self._folder.remove(aside)
            await self._folder.rename(name, aside)
        try:
            await self._folder.rename(part, name)
        except DestinationError:
            with suppress(DestinationError):
                await self._settle(name, aside, Step.WRITE)
            raise
        await self._folder.remove(aside)

    async def _settle(self, name: str, aside: str, step: Step) -> None:
        """Delete the file that was set aside, or put it back if no file has its name."""
        if not await self._folder.stat(aside, step):
            return
        if await self._folder.stat(name, step):
            await self._folder.remove(aside)
        else:
            await self._folder.rename(aside, name)


def _part(payload: Payload) -> str:
    return f".{payload.delivery_id}.part"


def _aside(payload: Payload) -> str:
    return f".{payload.delivery_id}.old"


def _checked(name: str) -> str:
    """The name itself.

    Raises:
        DestinationError: it would lead to another folder, or put a command of its own on the line of a protocol.
    """
    if not name or name in (".", "..") or "/" in name or any(ord(c) < 32 or ord(c) == 127 for c in name):
        text = "The file name is empty, or contains a slash or control characters: choose another `file_name`."
        raise DestinationError(Step.WRITE, "bad_name", text, transient=False)
    return name
