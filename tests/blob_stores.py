"""Stores for tests: a folder, and a bucket on moto's S3 server behind a real socket."""

import asyncio
import os
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore

MIB = 1024 * 1024


@contextmanager
def s3_server(port: int = 0) -> Iterator[str]:
    """The address of a running S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    host, bound = server.get_host_and_port()
    try:
        yield f"http://{host}:{bound}"
    finally:
        server.stop()


def use_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str, region: str | None = "eu-central-1") -> None:
    """Set what the store reads from its environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    if region is not None:
        monkeypatch.setenv("AWS_REGION", region)


def new_bucket(name: str | None = None) -> str:
    """The name of a new, empty bucket on the server in use."""
    name = name or f"bucket-{uuid.uuid4().hex[:12]}"
    address = f"{os.environ['AWS_ENDPOINT_URL_S3']}/{name}"
    with urllib.request.urlopen(urllib.request.Request(address, method="PUT")):
        return name


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[BlobStore]:
    """A store that is closed at the end."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def folder_url(folder: Path) -> str:
    return (folder / "blobs").as_uri()


async def put(store: BlobStore, key: str, data: bytes) -> None:
    """Write and commit, in a thread and in uneven pieces, as an export does."""

    def write() -> None:
        writer = store.writer(key, media_type="text/csv")
        for start in range(0, len(data), 700_001):
            writer.write(data[start : start + 700_001])
        writer.commit()

    await asyncio.to_thread(write)


async def begin(store: BlobStore, key: str, data: bytes) -> None:
    """Write without a commit, like a killed process."""

    def write() -> None:
        store.writer(key, media_type="text/csv").write(data)

    await asyncio.to_thread(write)


async def get(store: BlobStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, start, length)])


async def listed(store: BlobStore) -> list[str]:
    keys = store.keys()
    return sorted([key async for key in keys])
