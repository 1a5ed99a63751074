"""The errors of the exporter, each with a stable code."""

from collections.abc import Iterable

from services.chassis.faults import AttemptError, Fault, Kind


class ExporterError(Fault):
    """Base of the exporter's errors."""


class UnknownFormat(ExporterError):
    kind = Kind.NOT_FOUND

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("unknown_format", f"There is no format {name[:100]!r}; there are {', '.join(sorted(known))}.")


class JobNotFound(ExporterError):
    kind = Kind.NOT_FOUND

    def __init__(self, job_id: str) -> None:
        super().__init__("job_not_found", f"There is no job {job_id}.")


class ProfileNotFound(ExporterError):
    kind = Kind.NOT_FOUND

    def __init__(self, profile_id: str) -> None:
        super().__init__("profile_not_found", f"There is no profile {profile_id}.")


class ProfileVersionNotFound(ExporterError):
    kind = Kind.NOT_FOUND

    def __init__(self, number: int, kept: int) -> None:
        super().__init__(
            "profile_version_not_found",
            f"The profile has no version {number}, or it is not kept any more: the newest {kept} are.",
        )


class WrongState(ExporterError):
    """The call is not possible in the current state of the job or profile."""

    kind = Kind.CONFLICT


class RequestReused(ExporterError):
    """The id or idempotency key was already used for a different request."""

    kind = Kind.MISMATCH

    def __init__(self) -> None:
        super().__init__(
            "idempotency_key_reused",
            "This Idempotency-Key was used for a different request; use a new key for a new export.",
        )


class ProfileIdReused(ExporterError):
    kind = Kind.MISMATCH

    def __init__(self) -> None:
        super().__init__("profile_id_reused", "This profile_id was already used for a different profile.")


class TooManyProfiles(ExporterError):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int) -> None:
        super().__init__("too_many_profiles", f"The limit of {limit} profiles is reached; delete some.")


class TooManyJobs(ExporterError):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int) -> None:
        super().__init__(
            "too_many_jobs",
            f"{limit} exports are waiting or running already; wait until some have ended.",
            retry_after=30.0,
        )


class TooManyBytes(ExporterError):
    kind = Kind.EXHAUSTED

    def __init__(self, stored: int, limit: int) -> None:
        super().__init__(
            "too_many_bytes",
            f"The finished files have {stored:,} bytes, and the limit is {limit:,}; delete completed exports whose "
            "files are no longer needed, or wait until their files expire.",
            retry_after=60.0,
        )


class JobFault(AttemptError):
    """Why an attempt at a job made no file."""
