"""An SFTP server for the demo, on a free port of this machine, with a generated password and host key."""

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import asyncssh

from deploy.local.servers import HOST

USER = "demo"
FOLDER = "exports"
LISTEN_TIMEOUT = 10.0


class SftpServer:
    """The server and its root folder."""

    kind = "sftp"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._password = secrets.token_urlsafe(16)
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._port: Future[int] = Future()

    def config(self) -> dict[str, Any]:
        """A platform config for this server."""
        return {
            "host": HOST,
            "port": self._port.result(LISTEN_TIMEOUT),
            "username": USER,
            "password": self._password,
            "host_key": self._host_key.get_fingerprint(),
            "path": FOLDER,
        }

    def content(self, remote: str) -> bytes | None:
        """The content of the file at this path, or None."""
        path = self._root / remote.lstrip("/")
        return path.read_bytes() if path.is_file() else None

    def run(self) -> None:
        """Serve until `stop`."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """Let `run` return; open connections are closed."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        self._root.mkdir(parents=True)
        try:
            acceptor = await asyncssh.listen(
                HOST,
                0,
                server_factory=lambda: _Login(self._password),
                server_host_keys=[self._host_key],
                sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self._root).encode()),
            )
        except OSError as exc:
            self._port.set_exception(exc)
            return
        self._port.set_result(acceptor.get_port())
        await self._stopping.wait()
        acceptor.close()


class _Login(asyncssh.SSHServer):
    """One user with one password."""

    def __init__(self, password: str) -> None:
        self._password = password

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002  any user
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, self._password)


@contextlib.contextmanager
def sftp_server(root: Path) -> Iterator[SftpServer]:
    """A server with a new folder as its root; stopped at the end."""
    server = SftpServer(root)
    thread = threading.Thread(target=server.run, name="sftp", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
