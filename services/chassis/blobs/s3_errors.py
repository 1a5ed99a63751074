"""Translates errors of S3 and of the connection into those of the contract."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from services.chassis.blobs.contract import BlobError, BlobMissing, StoreFull, StoreUnavailable

# AWS has no quotas; these are the codes of MinIO, Ceph and the like.
_FULL = {"EntityTooLarge", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}
_INSUFFICIENT_STORAGE = 507
NO_SUCH_UPLOAD = "NoSuchUpload"
"""An upload does not exist. Some servers (rclone's) also answer this to a list of uploads that would be empty."""


def code_of(exc: ClientError) -> str:
    """S3's error code; the HTTP status where the answer has no body (HEAD)."""
    return exc.response.get("Error", {}).get("Code", "")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Around calls of a client only, never around a yield: the reader's errors are not the store's."""
    try:
        yield
    except ClientError as exc:
        raise _from_answer(exc) from exc
    except (BotoCoreError, aiohttp.ClientError, OSError) as exc:
        raise StoreUnavailable(str(exc) or type(exc).__name__) from exc


@contextmanager
def allow_missing_upload() -> Iterator[None]:
    """Ignore the error of a client's call that the upload does not exist."""
    try:
        yield
    except ClientError as exc:
        if code_of(exc) != NO_SUCH_UPLOAD:
            raise


def _from_answer(exc: ClientError) -> BlobError:
    code = code_of(exc)
    message = f"{code}: {exc.response.get('Error', {}).get('Message', '')}"
    if code == "NoSuchKey":
        return BlobMissing(message)
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return StoreFull(message)
    return StoreUnavailable(message)
