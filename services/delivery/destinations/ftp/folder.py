"""A platform's folder on an FTP server: made level by level, entered once, files in it named without it.

Names with a path in front mean different things on different servers; after CWD a bare name is the same everywhere.
"""

from pathlib import PurePosixPath

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.words import Garbled, Refused


class Folder:
    """One folder. Methods raise what the client raises."""

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = PurePosixPath(path)
        self._ahead = list(self._path.parts)

    def remote(self, name: str) -> str:
        """Where a file is, as a person would say it."""
        return str(self._path / name)

    async def enter(self, *, create: bool) -> bool:
        """Go there; without `create`, whether it is there."""
        if self._ahead:
            try:
                await self._client.ask(f"CWD {PurePosixPath(*self._ahead)}", "2xx")
            except Refused as exc:
                if not exc.code.startswith("5"):
                    raise
                if not create:
                    return False
                await self._make()
            self._ahead = []
        return True

    async def _make(self) -> None:
        """Level by level, so that the level that is refused says why. Keeps count: each CWD is relative to the last."""
        while self._ahead:
            level = self._ahead[0]
            try:
                await self._client.ask(f"CWD {level}", "2xx")
            except Refused:
                await self._made(level)
            self._ahead.pop(0)

    async def _made(self, level: str) -> None:
        try:
            await self._client.ask(f"MKD {level}", "2xx")
        except Refused as refused:
            try:  # somebody else may have made it meanwhile
                await self._client.ask(f"CWD {level}", "2xx")
            except Refused:
                raise refused from None
        else:
            await self._client.ask(f"CWD {level}", "2xx")

    async def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is none (or it is a folder)."""
        try:
            answer = (await self._client.ask(f"SIZE {name}", "213"))[-1]
        except Refused as exc:
            if exc.code == "550":
                return None
            raise
        if not answer.strip().isdecimal():
            raise Garbled(f"SIZE: {answer[:50]!r}")
        return int(answer)

    async def rename(self, old: str, new: str) -> None:
        """Rename; over an existing file where the server does that."""
        await self._client.ask(f"RNFR {old}", "350")
        await self._client.ask(f"RNTO {new}", "2xx")

    async def exchange(self, new: str, name: str, aside: str) -> None:
        """Rename over a file where the server refuses that: for a moment there is neither."""
        await self.drop(aside)
        await self.rename(name, aside)
        try:
            await self.rename(new, name)
        except Refused:
            await self.rename(aside, name)
            raise
        await self.drop(aside)

    async def drop(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""
        try:
            await self._client.ask(f"DELE {name}", "2xx")
        except Refused:
            if await self.size(name) is not None:
                raise


def check_name(name: str) -> None:
    """A name goes into a line of the protocol: a line break in it would be a command of its own.

    Raises:
        DestinationError: it is none.
    """
    if not name or name in (".", "..") or "/" in name or any(ord(c) < 32 or ord(c) == 127 for c in name):
        text = "The file's name is empty, or has a slash or control characters in it: choose another `file_name`."
        raise DestinationError(Step.WRITE, "bad_name", text, transient=False)
