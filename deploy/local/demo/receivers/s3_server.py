"""An S3 server for the demo: moto on a free port of this machine, with one bucket."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from deploy.local.servers import HOST

BUCKET, PREFIX, REGION = "demo", "exports", "us-east-1"


class S3Server:
    """The server and its storage: this process's memory, or a temporary file for an object of more than 16 MiB."""

    kind = "s3"

    def __init__(self, port: int) -> None:
        self._port = port
        self._storage: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._storage.create_bucket(BUCKET, REGION)

    def config(self) -> dict[str, Any]:
        """A platform config for this server; moto accepts every access key."""
        return {
            "endpoint_url": f"http://{HOST}:{self._port}",
            "bucket": BUCKET,
            "prefix": PREFIX,
            "region": REGION,
            "access_key_id": "demo",
            "secret_access_key": "anything",
        }

    def content(self, remote: str) -> bytes | None:
        """The object at `s3://bucket/key`, or None."""
        bucket, _, key = remote.removeprefix("s3://").partition("/")
        found = self._storage.buckets[bucket].keys.get(key)
        return None if found is None else bytes(found.value)


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that is stopped at the end."""
    # Request logs would mix with the demo's output.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    try:
        yield S3Server(server.get_host_and_port()[1])
    finally:
        server.stop()
