"""Writes one object from an export's thread: with one PUT when it is small, else in parts completed at the commit.

The client is botocore's synchronous one: hashing, TLS and waiting stay in the thread that writes, off the event loop,
which may already have stopped when the thread ends.
"""

import base64
import zlib
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from services.chassis.blobs.contract import BlobError, StoreFull
from services.chassis.blobs.s3_errors import code_of, translated

PART_BYTES = 8 * 1024 * 1024
"""Bytes held in memory, and sent as one part. All parts but the last have this size, since some servers insist."""

MOST_PARTS = 10_000
"""S3's limit, which makes a blob 78 GiB at most."""


class S3Writer:
    """Writes one object.

    Args:
        client: botocore's S3 client, whose methods are made at run time; shared by threads.
        name: the object's whole name in the bucket.
    """

    def __init__(self, client: Any, bucket: str, name: str, media_type: str) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": name}
        self._media_type = media_type
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._open = True
        abort_uploads(client, bucket, name)

    def write(self, data: bytes) -> None:
        """Append; sends a part whenever one is full."""
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
            with translated():
                self._client.complete_multipart_upload(
                    **self._place, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
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
                _abort(self._client, self._place, self._upload)

    def _put(self) -> None:
        with translated():
            self._client.put_object(
                **self._place, Body=self._buffer, ContentType=self._media_type, ChecksumCRC32=_crc32(self._buffer)
            )

    def _send_part(self) -> None:
        if len(self._parts) == MOST_PARTS:
            raise StoreFull(f"the file is larger than {MOST_PARTS} parts of {PART_BYTES} bytes")
        number, checksum = len(self._parts) + 1, _crc32(self._buffer)
        with translated():
            if self._upload is None:
                self._upload = self._client.create_multipart_upload(
                    **self._place, ContentType=self._media_type, ChecksumAlgorithm="CRC32"
                )["UploadId"]
            sent = self._client.upload_part(
                **self._place, UploadId=self._upload, PartNumber=number, Body=self._buffer, ChecksumCRC32=checksum
            )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC32": checksum})
        self._buffer = bytearray()

    def _require_open(self) -> None:
        if not self._open:
            raise ValueError("this blob is committed or aborted")


def abort_uploads(client: Any, bucket: str, name: str) -> None:
    """Abort every unfinished upload of one object. Raises StoreUnavailable."""
    with translated():
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=name):
            for upload in page.get("Uploads", ()):
                if upload["Key"] == name:
                    _abort(client, {"Bucket": bucket, "Key": name}, upload["UploadId"])


def _abort(client: Any, place: dict[str, str], upload: str) -> None:
    with translated():
        try:
            client.abort_multipart_upload(**place, UploadId=upload)
        except ClientError as exc:
            if code_of(exc) != "NoSuchUpload":
                raise


def _crc32(data: bytearray) -> str:
    """As a header of its own, which old servers ignore; botocore's trailing checksum is one that they refuse."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
