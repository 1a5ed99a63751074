"""What goes wrong in a call to S3, as `DestinationError`, and the time limit of every call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from services.chassis.blobs.s3_errors import code_of
from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.kit.error_rules import Fault, find_egress_error, printable
from services.delivery.destinations.s3.client import ATTEMPTS

_TOO_MANY = 429
_SERVER_ERROR = 500
_FULL = 507
_LOGIN = Step.AUTHENTICATE

NO_SPACE = Fault("no_space", "The server has no space, or the quota is used up: free some there.", transient=True)
SLOW_DOWN = Fault("slow_down", "The server asks for fewer requests.", transient=True)
SERVER_ERROR = Fault("server_error", "The server had an internal error.", transient=True)
REFUSED = Fault("refused", "The server refused the request.")

# By S3's codes, those of AWS, MinIO, Ceph and the like, or by the HTTP status of an answer without a code.
_CODES = {
    "InvalidAccessKeyId InvalidAccessKey UnrecognizedClientException": Fault(
        "wrong_access_key",
        "The server does not know the access key: check it, or create a new one.",
        report_as=_LOGIN,
    ),
    "SignatureDoesNotMatch": Fault(
        "wrong_secret_key",
        "The secret key does not belong to the access key: enter both again.",
        report_as=_LOGIN,
    ),
    "ExpiredToken ExpiredTokenException TokenRefreshRequired": Fault(
        "expired_token",
        "The session token has expired: enter new keys, preferably permanent ones.",
        report_as=_LOGIN,
    ),
    "InvalidToken InvalidClientTokenId": Fault(
        "wrong_token",
        "The session token does not belong to the keys: enter all three again.",
        report_as=_LOGIN,
    ),
    "AccessDenied Forbidden 403 UnauthorizedAccess AllAccessDisabled": Fault(
        "access_denied",
        "The keys do not allow this: grant s3:ListBucket and s3:ListBucketMultipartUploads on the bucket, and "
        "s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on its "
        "objects.",
    ),
    "AccountProblem NotSignedUp InvalidPayer": Fault(
        "account_disabled",
        "The account is disabled or not paid for: ask the provider.",
        report_as=_LOGIN,
    ),
    "NoSuchBucket": Fault("no_such_bucket", "The bucket does not exist: create it, or correct `bucket`."),
    "InvalidBucketName": Fault("bad_bucket_name", "This cannot be the name of a bucket: correct `bucket`."),
    "RequestTimeTooSkewed RequestExpired RequestInTheFuture": Fault(
        "clock_skew",
        "The clocks of this machine and the server differ too much: synchronize them by NTP.",
        transient=True,
    ),
    (
        "PermanentRedirect TemporaryRedirect 301 307 AuthorizationHeaderMalformed IllegalLocation "
        "IllegalLocationConstraintException InvalidRegion"
    ): Fault("wrong_region", "The bucket is in another region: correct `region` (or `endpoint_url`)."),
    (
        "QuotaExceeded XMinioAdminBucketQuotaExceeded XMinioStorageFull InsufficientStorage "
        "StorageQuotaExceeded TotalStorageQuotaExceeded"
    ): NO_SPACE,
    (
        "SlowDown SlowDownRead SlowDownWrite TooManyRequests Throttling ThrottlingException "
        "RequestLimitExceeded BandwidthLimitExceeded 429"
    ): SLOW_DOWN,
    (
        "InternalError ServiceUnavailable RequestTimeout ServerNotInitialized "
        "XMinioServerNotInitialized IncompleteBody 500 502 503 504"
    ): SERVER_ERROR,
    "EntityTooLarge": Fault("too_large", "The file is larger than the server accepts."),
    "KeyTooLongError KeyTooLong InvalidURI XMinioInvalidObjectName XMinioObjectExistsAsDirectory": Fault(
        "bad_name", "The server does not accept this name: choose another `file_name` or `prefix`."
    ),
    "InvalidStorageClass": Fault("bad_storage_class", "The server does not have this `storage_class`."),
    (
        "InvalidEncryptionAlgorithmError KMS.NotFoundException KMS.DisabledException "
        "KMS.KMSInvalidStateException ServerSideEncryptionConfigurationNotFoundError"
    ): Fault("bad_encryption", "The server cannot encrypt as `server_side_encryption` says."),
    "NotImplemented MethodNotAllowed 405 501": Fault("unsupported", "The server does not support this."),
    "NoSuchUpload InvalidPart": Fault(
        "upload_vanished",
        "The unfinished upload was removed on the server; the next attempt starts from scratch.",
        transient=True,
    ),
    "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch": Fault(
        "content_mismatch", "The server received other bytes than were sent.", transient=True
    ),
    "OperationAborted ConditionalRequestConflict 409": Fault(
        "conflict", "Another client was writing this name at the same time.", transient=True
    ),
    "PreconditionFailed 412": Fault("name_taken", "There is already an object of this name."),
    "InvalidObjectState": Fault(
        "archived", "The object is archived and cannot be read; choose another `storage_class`."
    ),
    "NoSuchKey 404": Fault("no_such_file", "The object does not exist."),
}
FAULTS = {code: fault for codes, fault in _CODES.items() for code in codes.split()}


@asynccontextmanager
async def translate_errors(step: Step, silence: float, secret: str | None) -> AsyncIterator[asyncio.Timeout]:
    """Around calls only, never around the payload's source: errors as `DestinationError`, and a time limit.

    Args:
        silence: seconds that the server may take for an answer. The limit covers all of botocore's attempts; callers
            that see bytes move may extend it.
        secret: removed from the server's texts.
    """
    try:
        async with asyncio.timeout(silence * (ATTEMPTS + 1)) as limit:
            yield limit
    except ClientError as exc:
        raise _answer_error(step, exc, secret) from exc
    except (BotoCoreError, aiohttp.ClientError, OSError) as exc:
        raise find_egress_error(exc) or _network_error(step, exc, secret) from exc


def _answer_error(step: Step, exc: ClientError, secret: str | None) -> DestinationError:
    code = code_of(exc)
    status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = printable(f"{code}: {exc.response.get('Error', {}).get('Message', '')}", secret)
    fault = FAULTS.get(code) or _by_status(status)
    return fault.error(step, f"The server said: {text}")


def _by_status(status: int) -> Fault:
    if status == _FULL:
        return NO_SPACE
    if status == _TOO_MANY:
        return SLOW_DOWN
    return SERVER_ERROR if status >= _SERVER_ERROR else REFUSED


def _network_error(step: Step, exc: Exception, secret: str | None) -> DestinationError:
    early = step == Step.AUTHENTICATE or isinstance(exc, EndpointConnectionError | ConnectTimeoutError)
    step = Step.CONNECT if early else step
    text = printable(str(exc), secret)
    if isinstance(exc, SSLError):
        return _tls_error(exc, text)
    if isinstance(exc, TimeoutError | ReadTimeoutError | ConnectTimeoutError):
        return DestinationError(step, "stalled", "The server did not answer in time.", transient=True)
    if step == Step.CONNECT:
        what = f"The server cannot be reached: check the endpoint. {text}"
        return DestinationError(step, "unreachable", what, transient=True)
    return DestinationError(step, "connection_lost", f"The connection was lost: {text}", transient=True)


def _tls_error(exc: SSLError, text: str) -> DestinationError:
    if isinstance(exc.kwargs.get("error"), aiohttp.ClientConnectorCertificateError):
        what = "The certificate is not from a known authority, or is for another name: give `ca_certificate`"
        return DestinationError(Step.CONNECT, "certificate_invalid", f"{what}. {text}", transient=False)
    what = "TLS failed: check that the endpoint speaks https on this port"
    return DestinationError(Step.CONNECT, "tls_failed", f"{what}. {text}", transient=False)
