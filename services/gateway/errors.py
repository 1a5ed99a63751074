"""What the gateway itself refuses, each with its status and stable code; faults of services come as they are."""

from collections.abc import Sequence

from services.chassis.faults import Fault, Kind, Violation


class RestFault(Fault):
    """Base of faults that only exist in HTTP; `status` is theirs and not their kind's."""

    kind = Kind.INVALID
    status = 400


class NotJson(RestFault):
    def __init__(self, why: str) -> None:
        super().__init__("not_json", f"The body is not JSON: {why}.")


class BadHost(RestFault):
    def __init__(self) -> None:
        super().__init__("bad_host", "The Host header must be a host name or address, and a port where there is one.")


class NotAnObject(Fault):
    kind = Kind.INVALID

    def __init__(self, found: str) -> None:
        text = f"must be a JSON object such as {{}}, not {found}"
        super().__init__("invalid_request", f"The body {text}.", violations=[Violation("body", text)])


class WrongMediaType(RestFault):
    status = 415

    def __init__(self, found: str) -> None:
        super().__init__(
            "unsupported_media_type",
            f"The body is {found[:100]}; send JSON with the header Content-Type: application/json.",
        )


class BodyTooLarge(RestFault):
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(
            "body_too_large", f"The body is larger than {limit} bytes; an export's options never need that."
        )


class BadQuery(Fault):
    kind = Kind.INVALID

    def __init__(self, name: str, what: str) -> None:
        super().__init__("invalid_query", f"{name} {what}.", violations=[Violation(name, what)])


class BadKey(Fault):
    """No key, or one that does not count."""

    kind = Kind.UNAUTHENTICATED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


class MissingScope(Fault):
    kind = Kind.DENIED

    def __init__(self, scope: str) -> None:
        super().__init__("missing_scope", f"This API key lacks the scope {scope}; make one that has it.")
        self.scope = scope


class RateLimited(Fault):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(
            "rate_limited", f"This API key may make {limit} requests a minute; slow down.", retry_after=retry_after
        )


class NoSuchThing(Fault):
    """An id in a path that cannot be one."""

    kind = Kind.NOT_FOUND

    def __init__(self, thing: str, text: str) -> None:
        super().__init__(f"{thing}_not_found", f"There is no {thing} {text[:100]!r}; ids are UUIDs.")


class NotFinished(Fault):
    kind = Kind.CONFLICT

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "job_not_finished", "The export is not finished yet; ask again shortly.", retry_after=retry_after
        )


class NoFile(Fault):
    """The job ended without a file; code and sentence are its own error's where it has one."""

    kind = Kind.CONFLICT


class FileGone(RestFault):
    kind = Kind.GONE
    status = 410

    def __init__(self) -> None:
        super().__init__("file_expired", "The file was removed after its retention; start a new export.")


class RangeBeyond(RestFault):
    status = 416

    def __init__(self, size: int, what: str) -> None:
        super().__init__("range_not_satisfiable", f"{what}; the file has {size} bytes.")
        self.size = size


class PlatformInUse(Fault):
    """Schedules deliver to the platform; removing it would break them."""

    kind = Kind.CONFLICT

    def __init__(self, schedules: Sequence[str], more: bool) -> None:
        named = ", ".join(schedules) + (" and more" if more else "")
        super().__init__(
            "platform_in_use",
            f"Schedules deliver to this platform and would fail without it: {named}. Change or remove them, or repeat "
            "with ?force=true.",
        )
