"""One data connection of an FTP session and the command it belongs to: both have to end well for a file to be there."""

import asyncio
from typing import Protocol

from services.delivery.destinations.ftp.words import Limits

BLOCK = 256 * 1024


class Control(Protocol):
    """What a transfer needs of its control connection."""

    async def ask(self, command: str | None, *expected: str, within: float | None = None) -> list[str]:
        """Send a command, or none, and wait for the answer."""

    async def last_word(self, lost: OSError) -> Exception:
        """Why the data connection broke."""

    def owes(self) -> None:
        """An answer will come that nobody waited for."""


class Transfer:
    """A data connection, and the command it belongs to."""

    def __init__(
        self, control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits
    ) -> None:
        self._control = control
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._finished = False

    async def write(self, data: bytes | memoryview) -> None:
        """Send at most `BLOCK` bytes, or so: the time limit is for all of them."""
        try:
            async with asyncio.timeout(self._limits.silence):
                await asyncio.sleep(0)  # `drain` does not, and the loss of the connection must come through
                if self._writer.transport.is_closing():  # under TLS asyncio would take the data and drop it
                    raise ConnectionResetError("the server closed the data connection")
                self._writer.write(data)
                await self._writer.drain()
        except TimeoutError:
            raise
        except OSError as exc:
            self._finished = True
            self._writer.transport.abort()
            raise await self._control.last_word(exc) from exc

    async def read(self) -> bytes:
        """The next bytes; none at the end."""
        async with asyncio.timeout(self._limits.silence):
            return await self._reader.read(BLOCK)

    async def finish(self) -> None:
        """Close, and hear that the server has all or has sent all."""
        self._finished = True
        self._writer.close()
        await self._control.ask(None, "2xx", within=self._limits.work)

    def abort(self) -> None:
        """Close at once, unless it is finished."""
        if not self._finished:
            self._finished = True
            self._writer.transport.abort()
            self._control.owes()
