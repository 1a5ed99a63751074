"""The objects of one bucket below a prefix: every call with its time limit, its failure as a `DestinationError`."""

import asyncio
import base64
import hashlib
import io
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from services.delivery.destinations.contract import DestinationError, Payload, RemoteFile, Step
from services.delivery.destinations.s3.errors import Calls, code_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CHUNK = 256 * 1024
_MISSING = ("404", "NoSuchKey", "NotFound")
_WORDLESS = ("400", "403")
"""Statuses of HEAD that would say why, had its answer a body."""
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to send at once, with their SHA-256 in base64."""

    data: bytes
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Piece":
        """Hash the bytes; 8 MiB take some 10 ms."""
        return cls(data, base64.b64encode(hashlib.sha256(data).digest()).decode())

    def is_at(self, told: Any) -> bool:
        """Whether what the server tells of a part or object is this; only what it does tell counts.

        An ETag is the MD5 where nothing is encrypted.
        """
        if told.get("Size", len(self.data)) != len(self.data):
            return False
        if told.get("ChecksumSHA256"):
            return bool(told["ChecksumSHA256"] == self.sha256)
        etag = told["ETag"].strip('"')
        if _MD5.fullmatch(etag) and not told.get("ServerSideEncryption"):
            return bool(etag == hashlib.md5(self.data, usedforsecurity=False).hexdigest())
        return True


class Body(io.BytesIO):
    """Bytes on their way; `moved` is called whenever the connection takes some."""

    def __init__(self, data: bytes, moved: Callable[[], None]) -> None:
        super().__init__(data)
        self._moved = moved

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        self._moved()
        return super().read(size)


class Objects:
    """What a session may do in its bucket.

    Args:
        prefix: empty, or with a slash at its end.
        extra: storage class and encryption, as botocore's parameters.
    """

    def __init__(self, client: "S3Client", bucket: str, prefix: str, calls: Calls, extra: dict[str, str]) -> None:
        self._client: Any = client  # parameters are put together at run time
        self._bucket = bucket
        self._prefix = prefix
        self._calls = calls
        self._extra = extra

    def key(self, name: str) -> str:
        """An object's whole name."""
        return self._prefix + name

    async def admitted(self, step: Step) -> None:
        """Ask something that has to be answered with words: whether the keys are right and the bucket is there."""
        async with self._calls.at(step):
            await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    async def look(self, key: str, step: Step) -> RemoteFile | None:
        """What the server says of an object, None where there is none."""
        async with self._calls.at(step):
            try:
                head = await self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as exc:
                if code_of(exc) in _MISSING:
                    return None
                if code_of(exc) in _WORDLESS:
                    await self.admitted(step)
                raise
        reported = {"etag": head.get("ETag", "").strip('"'), "version_id": head.get("VersionId", "")}
        kept = {name: value for name, value in head.get("Metadata", {}).items() if name in ("sha256", "delivery")}
        return RemoteFile(f"s3://{self._bucket}/{key}", head["ContentLength"], _filled({**reported, **kept}))

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """The bytes of an object."""
        async with self._calls.at(Step.READ):
            answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        with closing(answer["Body"]) as body:
            while True:
                async with self._calls.at(Step.READ):
                    chunk = await body.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    async def remove(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        async with self._calls.at(Step.DELETE):
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def put(self, key: str, piece: Piece, payload: Payload, *, replace: bool) -> str:
        """Send a whole object at once; its ETag."""

        async def put(**condition: str) -> Any:
            return await self._sent(
                self._client.put_object, piece, Key=key, **self._described(payload), **self._extra, **condition
            )

        return str((await self._conditional(put, replace=replace))["ETag"])

    async def begin(self, key: str, payload: Payload) -> tuple[str, bool]:
        """Begin an upload in parts: its id, and whether a lost answer may have left another one behind."""
        async with self._calls.at(Step.WRITE):
            made = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256", **self._described(payload), **self._extra
            )
        return made["UploadId"], made["ResponseMetadata"].get("RetryAttempts", 0) > 0

    async def parts(self, key: str, upload: str) -> dict[int, Any] | None:
        """What the server has of an upload, by number; None where it does not know the upload."""
        found: dict[int, Any] = {}
        async with self._calls.at(Step.WRITE) as limit:
            try:
                pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
                async for page in pages:
                    _push(limit, self._calls.silence)
                    found |= {part["PartNumber"]: part for part in page.get("Parts", ())}
            except ClientError as exc:
                if code_of(exc) == "NoSuchUpload":
                    return None
                raise
        return found

    async def send_part(self, key: str, upload: str, number: int, piece: Piece) -> Any:
        """Send a part; what the server says of it."""
        return await self._sent(self._client.upload_part, piece, Key=key, UploadId=upload, PartNumber=number)

    async def complete(self, key: str, upload: str, parts: list[dict[str, Any]], *, replace: bool) -> str:
        """Show the parts as an object; its ETag."""

        async def complete(**condition: str) -> Any:
            async with self._calls.at(Step.WRITE):
                return await self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
                )

        return str((await self._conditional(complete, replace=replace))["ETag"])

    async def abort(self, key: str, upload: str) -> None:
        """Drop an upload; one that is not there is no error."""
        async with self._calls.at(Step.DELETE):
            try:
                await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            except ClientError as exc:
                if code_of(exc) != "NoSuchUpload":
                    raise

    async def abort_all(self, key: str, but: str | None) -> None:
        """Drop all uploads of an object but one."""
        async with self._calls.at(Step.DELETE):
            found = await self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        for upload in found.get("Uploads", ()):
            if upload["Key"] == key and upload["UploadId"] != but:
                await self.abort(key, upload["UploadId"])

    async def _sent(self, call: Callable[..., Any], piece: Piece, **parameters: Any) -> Any:
        """Send bytes, with a limit for silence and none for a slow line, and compare what the server says it got."""
        async with self._calls.at(Step.WRITE) as limit:
            body = Body(piece.data, lambda: _push(limit, self._calls.silence))
            answer = await call(
                Bucket=self._bucket, Body=body, ChecksumAlgorithm="SHA256", ChecksumSHA256=piece.sha256, **parameters
            )
        if not piece.is_at(answer):
            what = "The server got other bytes than were sent; the next attempt sends them again."
            raise DestinationError(Step.WRITE, "content_mismatch", what, transient=True)
        return answer

    async def _conditional(self, call: Callable[..., Any], *, replace: bool) -> Any:
        """Call under the condition that there is no such object.

        A server that knows no conditions is asked without: `send` has looked a moment before, and that must do.
        """
        if replace:
            return await call()
        try:
            return await call(IfNoneMatch="*")
        except DestinationError as exc:
            if exc.code != "unsupported":
                raise
        return await call()

    def _described(self, payload: Payload) -> dict[str, Any]:
        return {
            "ContentType": payload.media_type,
            "Metadata": {"sha256": payload.sha256, "delivery": payload.delivery_id},
        }


def _push(limit: asyncio.Timeout, seconds: float) -> None:
    """So much more time from now on."""
    with suppress(RuntimeError):  # it has passed, or the call has ended
        limit.reschedule(asyncio.get_running_loop().time() + seconds)


def _filled(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
