"""Stands in for the gateway's Service: one address for clients; new connections go to ready pods."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence

from deploy.local.servers import HOST

CHUNK = 64 * 1024


class Front:
    """A TCP forwarder in a thread; a connection stays with its pod until either side ends it.

    Args:
        port: port on 127.0.0.1.
        target_port: port of the pods.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self._targets: Sequence[str] = ()
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Start listening.

        Raises:
            OSError: the port is in use.
        """
        try:
            self._listener = socket.create_server((HOST, self.port))
        except OSError as exc:
            raise OSError(f"port {self.port} on {HOST} is taken by another program") from exc
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def send_to(self, addresses: Sequence[str]) -> None:
        """Send new connections to these addresses in turn. Without addresses, they are closed."""
        self._targets = tuple(addresses)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # cancels open connections at the end
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._accept, sock=self._listener):
            await self._stopping.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._serving.add(task)  # asyncio only keeps a weak reference
        task.add_done_callback(self._serving.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            if targets := self._targets:
                self._turn += 1
                target = targets[self._turn % len(targets)]
                other_reader, other_writer = await asyncio.open_connection(target, self._target_port)
                with contextlib.closing(other_writer):
                    await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until `source` ends, and pass on the end."""
    while chunk := await source.read(CHUNK):
        target.write(chunk)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()
