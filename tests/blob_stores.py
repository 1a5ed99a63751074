"""Stores for tests: a folder, and a bucket of SeaweedFS."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.servers.seaweedfs import SeaweedFS
from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore

MIB = 1024 * 1024
SHARED = "shared"


def use_s3(
    monkeypatch: pytest.MonkeyPatch,
    server: SeaweedFS | None,
    endpoint: str | None = None,
    region: str | None = "eu-central-1",
) -> None:
    """Set what the store reads from its environment.

    Args:
        server: whose keys to use; None for a server that takes any key.
        endpoint: if it is not that of the server.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key if server else "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key if server else "no secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint or (server.url if server else ""))
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    if region is not None:
        monkeypatch.setenv("AWS_REGION", region)


def new_bucket(server: SeaweedFS) -> str:
    """The name of a new, empty bucket. Its first object takes a quarter of a second, so prefer `new_prefix`."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    server.client.create_bucket(Bucket=name)
    return name


def new_prefix(server: SeaweedFS) -> str:
    """The URL of an empty prefix in a bucket that tests share."""
    with suppress(server.client.exceptions.BucketAlreadyOwnedByYou, server.client.exceptions.BucketAlreadyExists):
        server.client.create_bucket(Bucket=SHARED)
    return f"s3://{SHARED}/{uuid.uuid4().hex[:12]}/prefix"


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
