"""An S3 server for the demo: SeaweedFS on a free port of this machine, with one bucket."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.local.servers.seaweedfs import REGION, SeaweedFS

BUCKET, PREFIX = "demo", "exports"


class S3Server:
    """The launched server; the first call of `config` waits until it is ready, and makes the bucket."""

    kind = "s3"

    def __init__(self, server: SeaweedFS) -> None:
        self._server = server

    def config(self) -> dict[str, Any]:
        """A platform config for this server."""
        return {
            "endpoint_url": self._server.url,
            "bucket": self._bucket,
            "prefix": PREFIX,
            "region": REGION,
            "access_key_id": self._server.access_key,
            "secret_access_key": self._server.secret_key,
        }

    def content(self, remote: str) -> bytes | None:
        """The object at `s3://bucket/key`, or None."""
        bucket, _, key = remote.removeprefix("s3://").partition("/")
        return self._server.content(bucket, key)

    @cached_property
    def _bucket(self) -> str:
        self._server.wait_ready()
        self._server.client.create_bucket(Bucket=BUCKET)
        return BUCKET


@contextlib.contextmanager
def s3_server(folder: Path, log: Path | None = None) -> Iterator[S3Server]:
    """A server with its data in `folder`, started without waiting; stopped at the end."""
    server = SeaweedFS(folder, log=log)
    try:
        server.launch()
        yield S3Server(server)
    finally:
        server.stop()
