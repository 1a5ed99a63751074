"""What the gateway itself rejects, with status and stable code. Faults of the services are passed on unchanged."""

from collections.abc import Iterable, Sequence

from services.chassis.faults import Fault, Kind, Violation


class RestFault(Fault):
    """Base of the faults whose HTTP status does not follow from their kind."""

    kind = Kind.INVALID
    status = 400


class NotJson(RestFault):
    def __init__(self, reason: str) -> None:
        super().__init__("not_json", f"The body is not JSON: {reason}.")


class BadHost(RestFault):
    def __init__(self) -> None:
        super().__init__("bad_host", "The Host header must be a host name or address, optionally with a port.")


class WrongMediaType(RestFault):
    status = 415

    def __init__(self, media_type: str) -> None:
        super().__init__(
            "unsupported_media_type",
            f"The media type {media_type[:100]} is not supported; send JSON with Content-Type: application/json.",
        )


class WrongFileType(RestFault):
    status = 415

    def __init__(self, media_type: str, known: Iterable[str]) -> None:
        super().__init__(
            "unsupported_media_type",
            f"The media type {media_type[:100]} is not supported; send a file with Content-Type: {' or '.join(known)}.",
        )


class WrongEncoding(RestFault):
    status = 415

    def __init__(self, encoding: str) -> None:
        super().__init__(
            "unsupported_media_type",
            f"The Content-Encoding {encoding[:100]!r} is not supported; send JSON as it is, or with gzip or deflate.",
        )


class BodyTooLarge(RestFault):
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__("body_too_large", f"The body is larger than {limit} bytes.")


class SlowBody(RestFault):
    status = 408

    def __init__(self, timeout: float) -> None:
        super().__init__("request_timeout", f"The body was not received within {timeout:g} seconds.")


class BadQuery(Fault):
    """A query parameter or header that is not valid."""

    kind = Kind.INVALID

    def __init__(self, name: str, message: str) -> None:
        super().__init__("invalid_query", f"{name} {message}.", violations=[Violation(name, message)])


class KeyReused(Fault):
    """An Idempotency-Key that was used for something else, where the service that says so knows only ids."""

    kind = Kind.MISMATCH

    def __init__(self) -> None:
        super().__init__(
            "idempotency_key_reused", "This Idempotency-Key was used for a different request; use a new key."
        )


class BadKey(Fault):
    """A missing or invalid key or link."""

    kind = Kind.UNAUTHENTICATED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


class MissingScope(Fault):
    kind = Kind.DENIED

    def __init__(self, scope: str) -> None:
        super().__init__("missing_scope", f"This API key does not have the scope {scope}.")


class RateLimited(Fault):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(
            "rate_limited", f"This API key is limited to {limit} requests per minute.", retry_after=retry_after
        )


class TooManyAttempts(Fault):
    """An address has sent too many API keys that do not exist."""

    kind = Kind.EXHAUSTED

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "too_many_attempts",
            "Too many unknown API keys from this address; try again later.",
            retry_after=retry_after,
        )


class TooManyDownloads(Fault):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(
            "too_many_downloads",
            f"An API key, with its links, is limited to {limit} downloads at a time; wait for one to end.",
            retry_after=retry_after,
        )


class UnknownId(Fault):
    """An id in a path that is not a UUID."""

    kind = Kind.NOT_FOUND

    def __init__(self, resource: str, text: str) -> None:
        super().__init__(f"{resource}_not_found", f"There is no {resource} {text[:100]!r}; ids are UUIDs.")


class UnknownVersion(Fault):
    """A version in a path that is not a number."""

    kind = Kind.NOT_FOUND

    def __init__(self, text: str) -> None:
        super().__init__("profile_version_not_found", f"There is no version {text[:100]!r}; versions are numbers.")


class NotFinished(Fault):
    kind = Kind.CONFLICT

    def __init__(self, retry_after: float) -> None:
        super().__init__("job_not_finished", "The export is not finished yet; try again.", retry_after=retry_after)


class NoFile(Fault):
    """The job ended without a file; code and message are those of the job's error, if it has one."""

    kind = Kind.CONFLICT


class FileGone(RestFault):
    kind = Kind.GONE
    status = 410

    def __init__(self) -> None:
        super().__init__("file_expired", "The retention period of the file has ended; start a new export.")


class RangeNotSatisfiable(RestFault):
    status = 416

    def __init__(self, size: int, reason: str) -> None:
        super().__init__("range_not_satisfiable", f"{reason}. The size of the file is {size} bytes.")
        self.size = size


class ProfileInUse(Fault):
    """Schedules export the profile and would fail without it."""

    kind = Kind.CONFLICT

    def __init__(self, schedules: Sequence[str], more: bool) -> None:
        names = ", ".join(schedules) + (" and more" if more else "")
        super().__init__(
            "profile_in_use",
            f"Schedules export this profile and would fail without it: {names}. Change or delete them, or repeat the "
            "request with ?force=true.",
        )


class PlatformInUse(Fault):
    """Schedules deliver to the platform and would fail without it."""

    kind = Kind.CONFLICT

    def __init__(self, schedules: Sequence[str], more: bool) -> None:
        names = ", ".join(schedules) + (" and more" if more else "")
        super().__init__(
            "platform_in_use",
            f"Schedules deliver to this platform and would fail without it: {names}. Change or delete them, or repeat "
            "the request with ?force=true.",
        )
