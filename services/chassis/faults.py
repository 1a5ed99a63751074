"""The faults a service answers with: a kind, a stable code for programs, a message for people, the invalid fields.

Pure. `rpc.errors` carries a fault over gRPC and back; the gateway maps its kind to an HTTP status.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

MAX_MESSAGE = 2_000
"""Characters of an attempt's error message; destinations answer with text of any length."""


class Kind(StrEnum):
    """What a caller can do about a fault."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """The resource is not in a state in which the call is possible."""
    MISMATCH = "mismatch"
    """The id was already used for a different request."""
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
    """Base of every error that is reported to a caller.

    Args:
        code: stable, snake_case, for programs.
        message: a sentence for people that says what to do.
        violations: the invalid fields, for `Kind.INVALID`.
        retry_after: seconds after which a retry makes sense; None when it does not.
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


class BadRequest(Fault):
    """The request cannot be carried out as written; `violations` name the fields."""

    kind = Kind.INVALID

    def __init__(self, violations: Iterable[Violation], *, code: str = "invalid_request") -> None:
        listed = tuple(violations)
        super().__init__(code, "; ".join(f"{v.field}: {v.message}" for v in listed)[:2_000], violations=listed)


class AttemptError(Exception):
    """Why an attempt at a job or a delivery failed.

    Args:
        code: stable, snake_case, for programs.
        message: what happened and what to do, for people; never a secret.
        transient: a later attempt may succeed without anybody changing anything.
        step: the step at the destination that failed, if one did.
    """

    def __init__(self, code: str, message: str, *, transient: bool, step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient
        self.step = step

    @property
    def error(self) -> ErrorInfo:
        """What is stored of it."""
        return ErrorInfo(self.code, self.message[:MAX_MESSAGE], self.step)


class Unavailable(Fault):
    """A service or store that this process depends on does not answer; a retry may succeed."""

    kind = Kind.UNAVAILABLE

    def __init__(self, code: str, message: str, *, retry_after: float = 5.0) -> None:
        super().__init__(code, message, retry_after=retry_after)


def violations_of(error: ValidationError, *, unknown: str, prefix: str = "") -> list[Violation]:
    """What is wrong with a body: each field as a dotted path with a message, and never the value that was sent.

    Args:
        unknown: the message for an unknown key.
        prefix: the field that holds the body, when the body is only a part of the request.
    """
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        path = [part for part in (prefix, *(str(part) for part in problem["loc"])) if part]
        message = unknown if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        found.append(Violation(".".join(path) or "body", message))
    return found
