"""The faults a service answers with: kind, stable code for programs, sentence for people, fields at fault.

Pure. `rpc_errors` carries a fault over gRPC and back; the gateway maps its kind to an HTTP status.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a caller can do about a fault."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """The thing is in another state than the call needs."""
    MISMATCH = "mismatch"
    """The same id was used before for another request."""
    GONE = "gone"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """A code for programs and a sentence for people; `step` names the step that failed, where there are steps."""

    code: str
    message: str
    step: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request and what is wrong with it."""

    field: str
    message: str


class Fault(Exception):
    """Base of every error that a caller is told about.

    Args:
        code: stable, snake_case, for programs.
        message: a sentence for people that says what to do.
        violations: the fields at fault, for `Kind.INVALID`.
        retry_after: seconds after which trying again makes sense; None when it does not.
    """

    kind: Kind = Kind.INTERNAL

    def __init__(
        self,
        code: str,
        message: str,
        *,
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
        kind: Kind | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.violations = tuple(violations)
        self.retry_after = retry_after
        if kind is not None:
            self.kind = kind


class Unavailable(Fault):
    """A service or store behind this one does not answer; trying again helps."""

    kind = Kind.UNAVAILABLE

    def __init__(self, code: str, message: str, *, retry_after: float = 5.0) -> None:
        super().__init__(code, message, retry_after=retry_after)
