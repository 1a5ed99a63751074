"""Servers of other projects, started at their first use and shared by all tests of this process."""

import atexit
import contextlib
import http.client
import resource
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path

from deploy.local.processes.children import Child
from deploy.local.servers import HOST, free_port
from deploy.local.servers.seaweedfs import SeaweedFS
from deploy.local.servers.server import beside_python, on_path


@cache
def seaweedfs() -> SeaweedFS:
    """SeaweedFS; each test uses a bucket or a prefix of its own."""
    folder = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
    server = SeaweedFS(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    return server


class Rclone(Child):
    """`rclone serve PROTOCOL` for the folder `root`, on a free port.

    Args:
        options: of this protocol, without the address.
    """

    def __init__(self, protocol: str, folder: Path, *options: str) -> None:
        super().__init__(f"rclone-{protocol}", folder / "rclone.log")
        self.port = free_port()
        self.root = folder / "root"
        self.cache = folder / "cache"
        self._command = [protocol, f"--addr={HOST}:{self.port}", *options]

    def launch(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [beside_python("rclone") or on_path("rclone"), "serve", self._command[0], self.root]
        # Its caches would hide what tests do in the folder, or show it late.
        command += ["--vfs-cache-mode=writes", "--vfs-write-back=0s", "--dir-cache-time=0s", "--poll-interval=0s"]
        self.spawn([*command, f"--cache-dir={self.cache}", "--config=", *self._command[1:]])

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1.0):
            return True
        return False

    def limit_files(self, size: int = resource.RLIM_INFINITY) -> None:
        """No file may grow beyond `size` bytes, which to rclone is a disk without space."""
        assert self.pid is not None
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class ReadOnlyBuckets:
    """Buckets of SeaweedFS that refuse writes, as they do when their quota is used up."""

    def __init__(self, server: SeaweedFS) -> None:
        self._filer = f"{HOST}:{server.ports['filer']}"

    def set(self, *buckets: str) -> None:
        """Make these read-only, and no others."""
        places = ", ".join(f'{{"locationPrefix": "/buckets/{name}/", "readOnly": true}}' for name in buckets)
        connection = http.client.HTTPConnection(self._filer, timeout=10)
        with contextlib.closing(connection):
            body = f'{{"version": 1, "locations": [{places}]}}'
            connection.request("PUT", "/etc/seaweedfs/filer.conf", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status in (200, 201), answer.read()
