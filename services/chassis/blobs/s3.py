"""Blobs in a bucket of AWS or of any server with the S3 API; an object appears when its upload is complete."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any, TypeVar

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from services.chassis.blobs.contract import CHUNK, PART, BlobMissing, BlobStat, check_key, is_key
from services.chassis.blobs.s3_errors import allow_missing_upload, code_of, translate_errors
from services.chassis.blobs.s3_writer import S3Writer, abort_uploads
from services.chassis.s3_models import s3_models

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef

AnySession = TypeVar("AnySession", bound=Session)

# botocore itself reads only AWS_DEFAULT_REGION; EKS sets AWS_REGION, which other SDKs read first.
_VARIABLES = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}
_CLIENT_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
_MAX_WRITERS = 64
_MAX_READS = 1000


class S3Store:
    """The objects of one bucket whose names begin with a prefix.

    Args:
        prefix: empty, or with a trailing slash.
        client: for everything on the event loop.
        thread_client: botocore's synchronous client, for threads.
        connections: closed by `close`.
    """

    def __init__(
        self, bucket: str, prefix: str, client: "S3Client", thread_client: Any, connections: AsyncExitStack
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = client
        self._thread_client = thread_client
        self._connections = connections

    def writer(self, key: str, *, media_type: str) -> S3Writer:
        """Start an object; unfinished uploads of it are aborted."""
        return S3Writer(self._thread_client, self._bucket, self._name(key), media_type)

    async def stat(self, key: str) -> BlobStat:
        """Size of an object."""
        name = self._name(key)
        with translate_errors():
            try:
                head = await self._client.head_object(Bucket=self._bucket, Key=name)
            except ClientError as exc:
                if code_of(exc) != "404":
                    raise
                await self.probe()  # a 404 to HEAD has no body, so the bucket itself may be missing
                raise BlobMissing(f"{key} does not exist") from exc
        return BlobStat(key, head["ContentLength"])

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes as they arrive; stopping early closes the connection."""
        answer = await self._get(key, start, length)
        if answer is None:
            return
        with closing(answer["Body"]) as body:
            while True:
                with translate_errors():
                    chunk = await body.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    async def delete(self, key: str) -> None:
        """Remove an object, or abort its unfinished uploads."""
        name = self._name(key.removesuffix(PART))
        if key.endswith(PART):
            await asyncio.to_thread(abort_uploads, self._thread_client, self._bucket, name)
            return
        with translate_errors():
            await self._client.delete_object(Bucket=self._bucket, Key=name)

    async def keys(self) -> AsyncIterator[str]:
        """All objects below the prefix, then unfinished uploads."""
        async for page in self._pages("list_objects_v2", Prefix=self._prefix):
            for key in self._keys(page.get("Contents", ())):
                yield key
        # Without a prefix, since MinIO only accepts an object's whole name as prefix (minio#20989).
        async for page in self._pages("list_multipart_uploads"):
            for key in self._keys(page.get("Uploads", ())):
                yield key + PART

    async def probe(self) -> None:
        """Whether the bucket answers."""
        with translate_errors():
            await self._client.head_bucket(Bucket=self._bucket)

    async def room(self) -> None:
        """None, since a bucket has no size."""

    async def close(self) -> None:
        """Close connections."""
        await self._connections.aclose()

    async def _get(self, key: str, start: int, length: int | None) -> "GetObjectOutputTypeDef | None":
        """The answer whose body is still to be read; None if it would be empty, since S3 refuses an empty range."""
        if length == 0:
            await self.stat(key)
            return None
        last = "" if length is None else start + length - 1
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._name(key)}
        if start or length is not None:
            request["Range"] = f"bytes={start}-{last}"
        with translate_errors():
            try:
                return await self._client.get_object(**request)
            except ClientError as exc:
                if code_of(exc) != "InvalidRange":
                    raise
        return None

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _keys(self, found: Any) -> list[str]:
        """The keys among the names, each once; the bucket may contain objects of others."""
        names = dict.fromkeys(item["Key"] for item in found if item["Key"].startswith(self._prefix))
        return [key for name in names if is_key(key := name.removeprefix(self._prefix))]

    async def _pages(self, operation: Any, **only: str) -> AsyncIterator[dict[str, Any]]:
        pages = aiter(self._client.get_paginator(operation).paginate(Bucket=self._bucket, **only))
        while True:
            page = None
            with translate_errors(), allow_missing_upload():
                page = await anext(pages, None)
            if page is None:
                return
            yield page


async def open_bucket(bucket: str, prefix: str) -> S3Store:
    """The store in a bucket, below `prefix` (empty: the whole bucket). botocore finds keys, region and endpoint.

    Raises:
        OSError: a setting is wrong. The server is not contacted.
    """
    async with AsyncExitStack() as connections:
        try:
            if prefix:
                check_key(prefix)
            session = aioboto3.Session(botocore_session=_with_models(AioSession(session_vars=_VARIABLES)))
            config = AioConfig(**_CLIENT_OPTIONS, max_pool_connections=_MAX_READS)
            client = await connections.enter_async_context(session.client("s3", config=config))
            thread_client = await asyncio.to_thread(_thread_client)
        except (BotoCoreError, ValueError) as exc:
            raise OSError(f"s3://{bucket}/{prefix} cannot be used: {exc}") from exc
        connections.callback(thread_client.close)
        folder = f"{prefix}/" if prefix else ""
        return S3Store(bucket, folder, client, thread_client, connections.pop_all())


def _thread_client() -> Any:
    config = Config(**_CLIENT_OPTIONS, max_pool_connections=_MAX_WRITERS)
    return _with_models(Session(session_vars=_VARIABLES)).create_client("s3", config=config)


def _with_models(session: AnySession) -> AnySession:
    session.register_component("data_loader", s3_models())
    return session
