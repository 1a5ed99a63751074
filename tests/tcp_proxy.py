"""A TCP proxy on a real socket that cuts, stalls and refuses connections."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Self, TypeVar

Direction = Literal["up", "down"]
"""`up`: from client to server."""
CHUNK = 64 * 1024
T = TypeVar("T")


class TcpProxy:
    """Passes bytes between its own port of 127.0.0.1 and a server, in its own thread and event loop.

    `up` and `down` count the bytes passed on, `connections` those that were accepted, all since the start.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._cut_at: dict[Direction, int] = {}
        self._stall_at: int | None = None
        self._healed = asyncio.Event()
        self._passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.connections = 0
        self.cuts = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def up(self) -> int:
        """Bytes passed on to the server."""
        return self._passed["up"]

    @property
    def down(self) -> int:
        """Bytes passed on to clients."""
        return self._passed["down"]

    def cut_after(self, count: int, direction: Direction = "up") -> None:
        """Reset all connections once, after `count` more bytes in this direction; new connections work again."""
        self._do(lambda: self._cut_at.update({direction: self._passed[direction] + count}))

    def stall_after(self, count: int) -> None:
        """After `count` more bytes in both directions together, pass nothing on until `heal`."""
        self._do(lambda: self._stall(count))

    def refuse(self) -> None:
        """Reset what is open and refuse new connections until `heal`."""
        self._run(self._close())

    def heal(self) -> None:
        """Pass everything on again; pending cuts are dropped."""
        self._do(self._heal)
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _do(self, change: Callable[[], None]) -> None:
        async def changed() -> None:
            change()

        self._run(changed())

    def _stall(self, count: int) -> None:
        self._healed.clear()
        self._stall_at = self.up + self.down + count

    def _heal(self) -> None:
        self._cut_at.clear()
        self._stall_at = None
        self._healed.set()

    async def _listen(self) -> None:
        if self._server is None:  # the port stays the same after `refuse`
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=CHUNK)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=CHUNK)
        except OSError:
            self._abort(writer)
            return
        self._open.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer, "up"), self._pump(far_reader, writer, "down"))
        except (OSError, asyncio.CancelledError):  # a side was reset, so the other is too
            self._abort(writer)
            self._abort(far_writer)
        for ended in (writer, far_writer):
            self._open.discard(ended)
            ended.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        while data := await reader.read(CHUNK):
            await self._pass(data, writer, direction)
        if not writer.is_closing():
            writer.write_eof()

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, direction: Direction) -> None:
        if self._stall_at is not None and self.up + self.down + len(data) > self._stall_at:
            await self._healed.wait()
        end = self._cut_at.get(direction)
        cut = end is not None and self._passed[direction] + len(data) >= end
        if end is not None and cut:
            data = data[: end - self._passed[direction]]
        self._passed[direction] += len(data)
        writer.write(data)
        await writer.drain()
        if cut:
            self._cut_at.pop(direction, None)
            self.cuts += 1
            self._reset()

    def _reset(self) -> None:
        for writer in list(self._open):
            self._abort(writer)

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        """Close so that the other side gets a reset, as from a broken connection."""
        self._open.discard(writer)
        made = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
