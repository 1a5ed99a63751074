"""Servers of other projects, started at their first use and shared by all tests of this process."""

import atexit
import contextlib
import http.client
import shutil
import tempfile
from functools import cache
from pathlib import Path

from deploy.local.servers import HOST
from deploy.local.servers.seaweedfs import SeaweedFS


@cache
def seaweedfs() -> SeaweedFS:
    """SeaweedFS; each test uses a bucket or a prefix of its own."""
    folder = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
    server = SeaweedFS(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    return server


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
