"""Real SFTP servers with a temporary folder each: asyncssh's, in its own thread and event loop, and rclone's."""

import asyncio
import errno
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.sftp.destination import Sftp
from tests.contract.destinations.rigs._rclone import FOLDER, PASSWORD, USER, RcloneRig
from tests.real_servers import Rclone

T = TypeVar("T")


class _Login(asyncssh.SSHServer):
    def __init__(self, rig: "SftpRig") -> None:
        self._rig = rig

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._rig.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._rig.connections -= 1

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return bool(self._rig.keys)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.get_fingerprint() in self._rig.keys


class _Files(asyncssh.SFTPServer):
    """The rig's folder as root, with a full disk or denied permissions on request."""

    def __init__(self, chan: "asyncssh.SSHServerChannel[bytes]", rig: "SftpRig") -> None:
        super().__init__(chan, chroot=str(rig.root).encode())
        self._rig = rig

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._rig.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(file_obj, offset, data)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if self._rig.denied and pflags & self._rig.denied:
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        return super().open(path, pflags, attrs)

    def remove(self, path: bytes) -> Any:
        if not self._rig.removes:
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        return super().remove(path)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if not self._rig.replaces:
            raise asyncssh.SFTPOpUnsupported("no posix-rename")
        return super().posix_rename(oldpath, newpath)

    def fsync(self, file_obj: object) -> Any:
        if not self._rig.syncs:
            raise asyncssh.SFTPOpUnsupported("no fsync")
        return super().fsync(file_obj)


def _config(port: int, host_key: asyncssh.SSHKey) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "username": USER,
        "password": PASSWORD,
        "path": FOLDER,
        "host_key": host_key.get_fingerprint(),
    }


class SftpRig:
    """The server and an independent view of its files.

    `full`, `denied` (flags of open), `replaces` (posix-rename), `syncs` (fsync) and `removes` change it while it runs.
    """

    scale = 1

    def __init__(self) -> None:
        self.host_keys: list[asyncssh.SSHKey] = []
        self.keys: set[str] = set()
        self.connections = 0
        """Open connections."""
        self.full = False
        self.denied = 0
        self.replaces = True
        self.syncs = True
        self.removes = True
        self.port = 0
        self.root = Path()
        self._server: asyncssh.SSHAcceptor | None = None

    def start(self) -> None:
        self.host_keys = [asyncssh.generate_private_key("ssh-ed25519")]
        self.root = Path(tempfile.mkdtemp(prefix="sftp-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp-server", daemon=True)
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self.root)

    def change_host_keys(self, *keys: asyncssh.SSHKey) -> None:
        """Listen again on the same port as another host."""
        self.host_keys = list(keys)
        self._run(self._close())
        self._run(self._listen())

    def destination(self, seconds: float) -> Sftp:
        return Sftp(Timeouts(silence=seconds))

    def config(self, port: int | None = None) -> dict[str, Any]:
        return _config(port or self.port, self.host_keys[0])

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "password": "battery staple"}

    @property
    def folder(self) -> Path:
        """Where the config's folder is on this machine's disk."""
        return self.root / FOLDER

    def files(self) -> dict[str, bytes]:
        """The visible files of the folder."""
        return {path.name: path.read_bytes() for path in self._entries() if not path.name.startswith(".")}

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self._entries() if path.name.startswith("."))

    def clear(self) -> None:
        """Empty the server and end all faults."""
        shutil.rmtree(self.root / FOLDER.split("/", 1)[0], ignore_errors=True)
        self.full, self.denied, self.replaces, self.syncs, self.removes = False, 0, True, True, True
        self.keys.clear()

    def fill(self) -> None:
        self.full = True

    def unfill(self) -> None:
        self.full = False

    def _entries(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_file()] if self.folder.is_dir() else []

    async def _listen(self) -> None:
        self._server = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=lambda: _Login(self),
            server_host_keys=self.host_keys,
            sftp_factory=lambda chan: _Files(chan, self),
        )
        self.port = self._server.get_port()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


class RcloneSftpRig(RcloneRig):
    """`rclone serve sftp`, with a host key of its own."""

    def __init__(self) -> None:
        super().__init__(self._server_in)
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")

    def destination(self, seconds: float) -> Sftp:
        return Sftp(Timeouts(silence=seconds))

    def config(self, port: int | None = None) -> dict[str, Any]:
        return _config(port or self.port, self._host_key)

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "password": "battery staple"}

    def _server_in(self, folder: Path) -> Rclone:
        self._host_key.write_private_key(folder / "host")
        (folder / "host").chmod(0o600)
        return Rclone("sftp", folder, f"--user={USER}", f"--pass={PASSWORD}", f"--key={folder / 'host'}")


RIGS: list[Any] = [SftpRig(), RcloneSftpRig()]
