"""The faults a service answers with: a kind, a stable code for programs, a message for people, the invalid fields.

Pure. `rpc.errors` carries a fault over gRPC and back; the gateway maps its kind to an HTTP status.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import ValidationError

NO_MESSAGES: Mapping[str, str] = {}
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
    OUTDATED = "outdated"
    """The resource was changed since the caller has read it."""
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


_PLAIN = {
    "bool": "must be true or false",
    "dict": "must be a JSON object",
    "float": "must be a number",
    "int": "must be a whole number",
    "list": "must be a list",
    "missing": "is required",
    "model": "must be a JSON object",
    "string_type": "must be a string",
    "tuple": "must be a list",
    "uuid": "must be a UUID",
}
"""By the start of pydantic's name for the problem."""


def plain_message(kind: str, text: str) -> str:
    """What pydantic says of a value, in words that do not presuppose Python."""
    plain = next((message for start, message in _PLAIN.items() if kind.startswith(start)), None)
    if plain is not None:
        return plain
    text = re.sub(r"^(Value error, |(Input|Data|Dictionary|List|String|Tuple|Value) should )", _beginning, text)
    return re.sub(r" after validation, not \d+$", "", text)


def _beginning(found: re.Match[str]) -> str:
    return "" if found[1].startswith("Value error") else "must "


def violations_of(
    error: ValidationError, *, unknown: str, refused: Mapping[str, str] = NO_MESSAGES, prefix: str = ""
) -> list[Violation]:
    """What is wrong with a body: each field as a path (`columns[3].template`) with a message, never the value itself.

    Args:
        unknown: the message for an unknown key.
        refused: the messages for some of the unknown keys, by their paths.
        prefix: the field that holds the body, when the body is only a part of the request.
    """
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        path = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in (prefix, *problem["loc"]) if part != ""
        )
        name = path.removeprefix(".") or "body"
        is_unknown = problem["type"] == "extra_forbidden"
        message = refused.get(name, unknown) if is_unknown else plain_message(problem["type"], problem["msg"])
        found.append(Violation(name, message))
    return found


class Outdated(Fault):
    """A change or deletion that is only wanted if nobody has changed the resource since it was read."""

    kind = Kind.OUTDATED

    def __init__(self) -> None:
        super().__init__("precondition_failed", "It was changed since you have read it; read it again.")


def check_unchanged(updated_at: datetime, expected: datetime | None) -> None:
    """Raise `Outdated` if a resource was last changed at another time than expected; None: nothing is expected."""
    if expected is not None and updated_at != expected:
        raise Outdated
