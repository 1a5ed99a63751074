"""What S3 and the ways to it answer, as the errors of the contract."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from services.chassis.blobs.contract import BlobError, BlobMissing, StoreFull, StoreUnavailable

# AWS has no quota; these are MinIO's, Ceph's and its kin's words for one.
_FULL = {"EntityTooLarge", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}
_INSUFFICIENT_STORAGE = 507


def code_of(exc: ClientError) -> str:
    """S3's word for the error; the HTTP status where the answer has no body (HEAD)."""
    return exc.response.get("Error", {}).get("Code", "")


@contextmanager
def translated() -> Iterator[None]:
    """Around calls of a client only, never around a yield: the reader's own errors are not the store's."""
    try:
        yield
    except ClientError as exc:
        raise _from_answer(exc) from exc
    except (BotoCoreError, aiohttp.ClientError, OSError) as exc:
        raise StoreUnavailable(str(exc) or type(exc).__name__) from exc


def _from_answer(exc: ClientError) -> BlobError:
    code = code_of(exc)
    message = f"{code}: {exc.response.get('Error', {}).get('Message', '')}"
    if code == "NoSuchKey":
        return BlobMissing(message)
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return StoreFull(message)
    return StoreUnavailable(message)
