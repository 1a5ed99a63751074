"""What the destinations hold, seen past the services: files with their hashes, and what should not be there."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import asyncssh
from botocore.exceptions import BotoCoreError

from deploy.local.servers import HOST
from deploy.local.servers.seaweedfs import REGION, SeaweedFS
from tests.torture.cluster import Cluster
from tests.torture.receivers.account import BUCKET, PASSWORD, USER

READ_DEADLINE = 120.0


class Destination(Protocol):
    """One server, and its content."""

    kind: str

    def config(self, tenant: str) -> dict[str, Any]:
        """A platform's config; files are named by their job."""

    def files(self) -> Iterator[tuple[str, str]]:
        """Each finished file as `tenant/name`, and its SHA-256."""

    def leftovers(self) -> list[str]:
        """Part files and open uploads."""

    def sha256(self, tenant: str, name: str) -> str | None:
        """The hash of one finished file, if it exists."""


class Folder:
    """The SFTP or FTP server, whose root is a folder of this machine."""

    def __init__(self, cluster: Cluster, kind: str) -> None:
        self.kind = kind
        self._root = cluster.folder / kind
        self._port = cluster.ports[kind]
        self._extra: dict[str, Any] = {"tls": "none"}
        if kind == "sftp":
            key = asyncssh.read_private_key(str(cluster.folder / "sftp-host-key"))
            self._extra = {"host_key": key.get_fingerprint()}

    def config(self, tenant: str) -> dict[str, Any]:
        login = {"host": HOST, "port": self._port, "username": USER, "password": PASSWORD}
        return {**login, **self._extra, "path": tenant, "file_name": "{job}"}

    def files(self) -> Iterator[tuple[str, str]]:
        for path in self._paths():
            if not path.name.startswith("."):
                yield path.relative_to(self._root).as_posix(), _sha256(path.read_bytes())

    def leftovers(self) -> list[str]:
        return [path.relative_to(self._root).as_posix() for path in self._paths() if path.name.startswith(".")]

    def sha256(self, tenant: str, name: str) -> str | None:
        path = self._root / tenant / name
        return _sha256(path.read_bytes()) if path.is_file() else None

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._root.rglob("*") if path.is_file())


class Bucket:
    """The S3 server's bucket, read with Amazon's own client past the proxy."""

    kind = "s3"

    def __init__(self, cluster: Cluster) -> None:
        server = cluster.processes["s3"]
        assert isinstance(server, SeaweedFS)
        self._server = server
        self._proxied = cluster.ports["s3"]
        self._s3: Any = server.client
        self._s3.create_bucket(Bucket=BUCKET)

    def config(self, tenant: str) -> dict[str, Any]:
        return {
            "endpoint_url": f"http://{HOST}:{self._proxied}",
            "bucket": BUCKET,
            "prefix": tenant,
            "region": REGION,
            "access_key_id": self._server.access_key,
            "secret_access_key": self._server.secret_key,
            "file_name": "{job}",
        }

    def files(self) -> Iterator[tuple[str, str]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for stored in page.get("Contents", []):
                yield stored["Key"], self._hash(stored["Key"])

    def leftovers(self) -> list[str]:
        found = self._s3.list_multipart_uploads(Bucket=BUCKET)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def sha256(self, tenant: str, name: str) -> str | None:
        try:
            return self._hash(f"{tenant}/{name}")
        except self._s3.exceptions.NoSuchKey:
            return None

    def _hash(self, key: str) -> str:
        """The hash of an object; waits while a fault has ended the server."""
        deadline = time.monotonic() + READ_DEADLINE
        while True:
            try:
                return _sha256(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
            except BotoCoreError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def opened(cluster: Cluster) -> list[Destination]:
    """The three destinations of a running cluster."""
    return [Folder(cluster, "sftp"), Folder(cluster, "ftp"), Bucket(cluster)]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
