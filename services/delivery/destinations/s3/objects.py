"""The objects of one bucket below a prefix; every call has a time limit."""

import asyncio
import base64
import hashlib
import io
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from services.chassis.blobs.s3_errors import NO_SUCH_UPLOAD, allow_missing_upload, code_of
from services.delivery.destinations.contract import DestinationError, Payload, RemoteFile, Step
from services.delivery.destinations.kit.timeouts import extend
from services.delivery.destinations.s3.client import Access
from services.delivery.destinations.s3.errors import translate_errors

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CHUNK = 256 * 1024
MAX_PAGES = 100
"""Of a list of parts; servers list 1,000 of at most 10,000 parts on a page, some of them fewer."""
_ENDLESS = f"The server lists the parts of an upload on more than {MAX_PAGES} pages."
_MISSING = ("404", "NoSuchKey", "NotFound")
_UNEXPLAINED = ("400", "403")
"""Statuses of HEAD whose reason is missing, because its answer has no body."""
MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are sent in one request, with their SHA-256 in base64."""

    data: bytes
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Piece":
        """Hash the bytes; 8 MiB take about 10 ms."""
        return cls(data, base64.b64encode(hashlib.sha256(data).digest()).decode())

    def matches(self, reported: Any) -> bool:
        """Whether what the server reports of a part or object is this; what it does not report is not compared.

        An ETag is the MD5 unless the object is encrypted.
        """
        if reported.get("Size", len(self.data)) != len(self.data):
            return False
        if reported.get("ChecksumSHA256"):
            return bool(reported["ChecksumSHA256"] == self.sha256)
        etag = reported["ETag"].strip('"')
        if MD5.fullmatch(etag) and not reported.get("ServerSideEncryption"):
            return bool(etag == hashlib.md5(self.data, usedforsecurity=False).hexdigest())
        return True


class Body(io.BytesIO):
    """The body of a request; `moved` is called whenever the connection reads some of it."""

    def __init__(self, data: bytes, moved: Callable[[], None]) -> None:
        super().__init__(data)
        self._moved = moved

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file."""
        self._moved()
        return super().read(size)


class Objects:
    """What a session does in its bucket.

    Args:
        prefix: empty, or with a trailing slash.
        extra: storage class and encryption, as botocore's parameters.
        silence: seconds that the server may take for an answer, or to take a byte.
    """

    def __init__(self, client: "S3Client", access: Access, prefix: str, extra: dict[str, str], silence: float) -> None:
        self._client: Any = client  # parameters are put together at run time
        self._bucket = access.bucket
        self._secret = access.session_token
        self._prefix = prefix
        self._extra = extra
        self._silence = silence

    def key(self, name: str) -> str:
        """An object's whole name."""
        return self._prefix + name

    async def check_access(self, step: Step) -> None:
        """Whether the keys are right and the bucket exists, by a request whose refusal is explained."""
        async with self._call(step):
            await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    async def stat(self, key: str, step: Step) -> RemoteFile | None:
        """What the server reports of an object; None if it does not exist."""
        async with self._call(step):
            try:
                head = await self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as exc:
                if code_of(exc) in _MISSING:
                    return None
                if code_of(exc) in _UNEXPLAINED:
                    await self.check_access(step)
                raise
        reported = {"etag": head.get("ETag", "").strip('"'), "version_id": head.get("VersionId", "")}
        kept = {name: value for name, value in head.get("Metadata", {}).items() if name in ("sha256", "delivery")}
        return RemoteFile(f"s3://{self._bucket}/{key}", head["ContentLength"], _filled({**reported, **kept}))

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """The bytes of an object."""
        async with self._call(Step.READ):
            answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        with closing(answer["Body"]) as body:
            while True:
                async with self._call(Step.READ):
                    chunk = await body.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    async def remove(self, key: str) -> None:
        """Delete an object; no error if it does not exist."""
        async with self._call(Step.DELETE):
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def put(self, key: str, piece: Piece, payload: Payload, *, replace: bool) -> str:
        """Send a whole object in one request; its ETag."""

        async def put(**condition: str) -> Any:
            return await self._sent(
                self._client.put_object, piece, Key=key, **self._described(payload), **self._extra, **condition
            )

        return str((await self._conditional(put, replace=replace))["ETag"])

    async def begin(self, key: str, payload: Payload) -> tuple[str, bool]:
        """Start an upload in parts: its id, and whether a lost answer may have left another upload behind."""
        async with self._call(Step.WRITE):
            made = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256", **self._described(payload), **self._extra
            )
        return made["UploadId"], made["ResponseMetadata"].get("RetryAttempts", 0) > 0

    async def parts(self, key: str, upload: str) -> dict[int, Any] | None:
        """The parts that the server has, by number; None if it does not know the upload."""
        found: dict[int, Any] = {}
        async with self._call(Step.WRITE) as limit:
            try:
                pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
                number = 0
                async for page in pages:
                    number += 1
                    if number > MAX_PAGES:
                        raise DestinationError(Step.WRITE, "server_error", _ENDLESS, transient=True)
                    extend(limit, self._silence)
                    found |= {part["PartNumber"]: part for part in page.get("Parts", ())}
            except ClientError as exc:
                if code_of(exc) == NO_SUCH_UPLOAD:
                    return None
                raise
        return found

    async def send_part(self, key: str, upload: str, number: int, piece: Piece) -> Any:
        """Send a part; what the server reports of it."""
        return await self._sent(self._client.upload_part, piece, Key=key, UploadId=upload, PartNumber=number)

    async def complete(self, key: str, upload: str, parts: list[dict[str, Any]], *, replace: bool) -> str:
        """Show the parts as an object; its ETag."""

        async def complete(**condition: str) -> Any:
            async with self._call(Step.WRITE):
                return await self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
                )

        return str((await self._conditional(complete, replace=replace))["ETag"])

    async def abort(self, key: str, upload: str) -> None:
        """Abort an upload; no error if it does not exist."""
        async with self._call(Step.DELETE):
            with allow_missing_upload():
                await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)

    async def abort_all(self, key: str, but: str | None) -> None:
        """Abort all uploads of an object except one."""
        found: Any = {}
        async with self._call(Step.DELETE):
            with allow_missing_upload():
                found = await self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        for upload in found.get("Uploads", ()):
            if upload["Key"] == key and upload["UploadId"] != but:
                await self.abort(key, upload["UploadId"])

    async def _sent(self, call: Callable[..., Any], piece: Piece, **parameters: Any) -> Any:
        """Send bytes, with a limit for silence but none for a slow line; compare what the server reports of them."""
        async with self._call(Step.WRITE) as limit:
            body = Body(piece.data, lambda: extend(limit, self._silence))
            answer = await call(
                Bucket=self._bucket, Body=body, ChecksumAlgorithm="SHA256", ChecksumSHA256=piece.sha256, **parameters
            )
        if not piece.matches(answer):
            what = "The server received other bytes than were sent; the next attempt sends them again."
            raise DestinationError(Step.WRITE, "content_mismatch", what, transient=True)
        return answer

    async def _conditional(self, call: Callable[..., Any], *, replace: bool) -> Any:
        """Call under the condition that the object does not exist.

        For servers without conditional writes, the check that `send` made a moment before has to suffice.
        """
        if replace:
            return await call()
        try:
            return await call(IfNoneMatch="*")
        except DestinationError as exc:
            if exc.code != "unsupported":
                raise
        return await call()

    def _call(self, step: Step) -> AbstractAsyncContextManager[asyncio.Timeout]:
        return translate_errors(step, self._silence, self._secret)

    def _described(self, payload: Payload) -> dict[str, Any]:
        return {
            "ContentType": payload.media_type,
            "Metadata": {"sha256": payload.sha256, "delivery": payload.delivery_id},
        }


def _filled(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
