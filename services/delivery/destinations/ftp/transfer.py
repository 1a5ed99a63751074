"""One data connection and the command it belongs to; the file is complete only if both end well."""

import asyncio
from typing import Protocol

from services.delivery.destinations.kit.timeouts import Timeouts

BLOCK = 256 * 1024


class Control(Protocol):
    """What a transfer needs of its control connection."""

    async def ask(self, command: str | None, *expected: str, timeout: float | None = None) -> list[str]:
        """Send a command, or none, and wait for the answer."""

    async def transfer_error(self, lost: OSError) -> Exception:
        """Why the data connection broke."""

    def expect_answer(self) -> None:
        """An answer to an aborted transfer will come."""


class Transfer:
    """A data connection and its command."""

    def __init__(
        self, control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeouts: Timeouts
    ) -> None:
        self._control = control
        self._reader = reader
        self._writer = writer
        self._timeouts = timeouts
        self._finished = False

    async def write(self, data: bytes) -> None:
        """Send about `BLOCK` bytes at most; the time limit is for all of them."""
        try:
            async with asyncio.timeout(self._timeouts.silence):
                await asyncio.sleep(0)  # drain() may not yield, and a lost connection has to be noticed
                if self._writer.transport.is_closing():  # under TLS asyncio would accept the data and drop it
                    raise ConnectionResetError("the server closed the data connection")
                self._writer.write(data)
                await self._writer.drain()
        except TimeoutError:
            raise
        except OSError as exc:
            self._finished = True
            self._writer.transport.abort()
            raise await self._control.transfer_error(exc) from exc

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        async with asyncio.timeout(self._timeouts.silence):
            return await self._reader.read(BLOCK)

    async def finish(self) -> None:
        """Close, and wait for the server to confirm the transfer."""
        self._finished = True
        self._writer.close()
        await self._control.ask(None, "2xx", timeout=self._timeouts.work)

    def abort(self) -> None:
        """Close immediately, unless the transfer is finished."""
        if not self._finished:
            self._finished = True
            self._writer.transport.abort()
            self._control.expect_answer()
