"""S3's error codes, those of AWS, MinIO, Ceph and their kin, as what happened and what to do."""

from dataclasses import dataclass

from services.delivery.destinations.contract import Step


@dataclass(frozen=True, slots=True)
class Words:
    """One kind of error; `step` where it is another than the one at hand."""

    code: str
    what: str
    transient: bool
    step: Step | None = None


_IN = Step.AUTHENTICATE
_NO_KEY = Words("wrong_access_key", "The server does not know the access key: check it, or make a new one.", False, _IN)
_NO_SECRET = Words("wrong_secret_key", "The secret key does not belong to the access key: enter both anew.", False, _IN)
_EXPIRED = Words("expired_token", "The session token has expired: enter new keys, best such that last.", False, _IN)
_TOKEN = Words("wrong_token", "The session token does not belong to the keys: enter all three anew.", False, _IN)
_DENIED = Words(
    "access_denied",
    "The keys may not do this: allow s3:ListBucket and s3:ListBucketMultipartUploads on the bucket, and s3:PutObject, "
    "s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on its objects.",
    False,
)
_DISABLED = Words("account_disabled", "The account is disabled or not paid for: ask the provider.", False, _IN)
_NO_BUCKET = Words("no_such_bucket", "There is no such bucket: make it, or correct `bucket`.", False)
_BAD_BUCKET = Words("bad_bucket_name", "That cannot be the name of a bucket: correct `bucket`.", False)
_SKEW = Words("clock_skew", "The clocks of this machine and the server differ too much: have them set by NTP.", True)
_REGION = Words("wrong_region", "The bucket is in another region: correct `region` (or `endpoint_url`).", False)
_FULL = Words("no_space", "There is no room, or the quota is used up: make room there.", True)
_SLOW = Words("slow_down", "The server asks to slow down.", True)
_FAULT = Words("server_error", "The server has a fault of its own.", True)
_TOO_LARGE = Words("too_large", "The file is larger than the server takes.", False)
_BAD_NAME = Words("bad_name", "The server does not take this name: choose another `file_name` or `prefix`.", False)
_CLASS = Words("bad_storage_class", "The server does not have this `storage_class`.", False)
_ENCRYPTION = Words("bad_encryption", "The server cannot encrypt as `server_side_encryption` says.", False)
_UNSUPPORTED = Words("unsupported", "The server cannot do this.", False)
_GONE = Words("upload_vanished", "The unfinished upload was removed there; the next attempt begins anew.", True)
_DAMAGED = Words("content_mismatch", "The server got other bytes than were sent.", True)
_CONFLICT = Words("conflict", "Somebody else was writing this name at the same time.", True)
_TAKEN = Words("name_taken", "There is an object of this name already.", False)
_ARCHIVED = Words("archived", "The object is in an archive and cannot be read; choose another `storage_class`.", False)
_NO_FILE = Words("no_such_file", "There is no such object.", False)

_CODES = {
    _NO_KEY: "InvalidAccessKeyId InvalidAccessKey UnrecognizedClientException",
    _NO_SECRET: "SignatureDoesNotMatch",
    _EXPIRED: "ExpiredToken ExpiredTokenException TokenRefreshRequired",
    _TOKEN: "InvalidToken InvalidClientTokenId",
    _DENIED: "AccessDenied Forbidden 403 UnauthorizedAccess AllAccessDisabled",
    _DISABLED: "AccountProblem NotSignedUp InvalidPayer",
    _NO_BUCKET: "NoSuchBucket",
    _BAD_BUCKET: "InvalidBucketName",
    _SKEW: "RequestTimeTooSkewed RequestExpired RequestInTheFuture",
    _REGION: (
        "PermanentRedirect TemporaryRedirect 301 307 AuthorizationHeaderMalformed IllegalLocation "
        "IllegalLocationConstraintException InvalidRegion"
    ),
    _FULL: (
        "QuotaExceeded XMinioAdminBucketQuotaExceeded XMinioStorageFull InsufficientStorage "
        "StorageQuotaExceeded TotalStorageQuotaExceeded"
    ),
    _SLOW: (
        "SlowDown SlowDownRead SlowDownWrite TooManyRequests Throttling ThrottlingException "
        "RequestLimitExceeded BandwidthLimitExceeded 429"
    ),
    _FAULT: (
        "InternalError ServiceUnavailable RequestTimeout ServerNotInitialized "
        "XMinioServerNotInitialized IncompleteBody 500 502 503 504"
    ),
    _TOO_LARGE: "EntityTooLarge",
    _BAD_NAME: "KeyTooLongError KeyTooLong InvalidURI XMinioInvalidObjectName XMinioObjectExistsAsDirectory",
    _CLASS: "InvalidStorageClass",
    _ENCRYPTION: (
        "InvalidEncryptionAlgorithmError KMS.NotFoundException KMS.DisabledException "
        "KMS.KMSInvalidStateException ServerSideEncryptionConfigurationNotFoundError"
    ),
    _UNSUPPORTED: "NotImplemented MethodNotAllowed 405 501",
    _GONE: "NoSuchUpload InvalidPart",
    _DAMAGED: "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch",
    _CONFLICT: "OperationAborted ConditionalRequestConflict 409",
    _TAKEN: "PreconditionFailed 412",
    _ARCHIVED: "InvalidObjectState",
    _NO_FILE: "NoSuchKey 404",
}
WORDS = {code: words for words, codes in _CODES.items() for code in codes.split()}
"""By S3's code, or by the HTTP status of an answer without one."""
