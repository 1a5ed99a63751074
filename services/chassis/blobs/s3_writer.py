"""Writes one object from an export's thread: with one PUT if it is small, else in parts completed by the commit.

The client is botocore's synchronous one, so that hashing, TLS and waiting stay in the writing thread. The event loop
may already have stopped when the thread ends.
"""

import base64
import zlib
from contextlib import suppress
from typing import Any

from services.chassis.blobs.contract import BlobError, StoreFull
from services.chassis.blobs.s3_errors import allow_missing_upload, translate_errors

PART_BYTES = 8 * 1024 * 1024
"""Bytes held in memory and sent as one part. All parts but the last have this size, as some servers require."""

MAX_PARTS = 10_000
"""S3's limit; a blob is at most 78 GiB."""


class S3Writer:
    """Writes one object.

    Args:
        client: botocore's S3 client, shared by threads; untyped, as its methods are generated.
        name: the object's whole name in the bucket.
    """

    def __init__(self, client: Any, bucket: str, name: str, media_type: str) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": name}
        self._media_type = media_type
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._open = True
        abort_uploads(client, bucket, name)

    def write(self, data: bytes) -> None:
        """Append; sends each part when it is full."""
        self._require_open()
        rest = memoryview(data)
        while rest:
            room = PART_BYTES - len(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]
            if len(self._buffer) == PART_BYTES:
                self._send_part()

    def commit(self) -> None:
        """Send the rest and make the object visible."""
        self._require_open()
        if self._upload is None:
            self._put()
        else:
            if self._buffer:
                self._send_part()
            with translate_errors():
                self._client.complete_multipart_upload(
                    **self._object, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
                )
        self._open = False
        self._buffer = bytearray()

    def abort(self) -> None:
        """Abort the upload."""
        if not self._open:
            return
        self._open = False
        self._buffer = bytearray()
        if self._upload is not None:
            with suppress(BlobError):
                _abort(self._client, self._object, self._upload)

    def _put(self) -> None:
        with translate_errors():
            self._client.put_object(
                **self._object, Body=self._buffer, ContentType=self._media_type, ChecksumCRC32=_crc32(self._buffer)
            )

    def _send_part(self) -> None:
        if len(self._parts) == MAX_PARTS:
            raise StoreFull(f"the file is larger than {MAX_PARTS} parts of {PART_BYTES} bytes")
        number, checksum = len(self._parts) + 1, _crc32(self._buffer)
        with translate_errors():
            if self._upload is None:
                self._upload = self._client.create_multipart_upload(
                    **self._object, ContentType=self._media_type, ChecksumAlgorithm="CRC32"
                )["UploadId"]
            sent = self._client.upload_part(
                **self._object, UploadId=self._upload, PartNumber=number, Body=self._buffer, ChecksumCRC32=checksum
            )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC32": checksum})
        self._buffer = bytearray()

    def _require_open(self) -> None:
        if not self._open:
            raise ValueError("this blob is committed or aborted")


def abort_uploads(client: Any, bucket: str, name: str) -> None:
    """Abort every unfinished upload of one object. Raises StoreUnavailable."""
    with translate_errors(), allow_missing_upload():
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=name):
            for upload in page.get("Uploads", ()):
                if upload["Key"] == name:
                    _abort(client, {"Bucket": bucket, "Key": name}, upload["UploadId"])


def _abort(client: Any, target: dict[str, str], upload: str) -> None:
    with translate_errors(), allow_missing_upload():
        client.abort_multipart_upload(**target, UploadId=upload)


def _crc32(data: bytearray) -> str:
    """For a header, which old servers ignore; they refuse botocore's trailing checksum."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
