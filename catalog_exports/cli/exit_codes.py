"""What the exit codes mean; docs/cli.md lists them."""

from enum import IntEnum

from catalog_exports.cli.credentials import NoLogin
from catalog_exports.client.errors import (
    ApiError,
    ChecksumMismatch,
    JobNotCompleted,
    KeyRejected,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WaitTimedOut,
)


class ExitCode(IntEnum):
    """Of every command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    KEY = 4
    FAILED = 5
    HELD = 6  # reserved: deliveries that a guard holds back are not in the API yet
    TIMED_OUT = 7
    UNAVAILABLE = 8
    CHECKSUM = 9
    INTERRUPTED = 130


# The first that fits.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (KeyRejected, ExitCode.KEY),
    (NoLogin, ExitCode.KEY),
    (Unavailable, ExitCode.UNAVAILABLE),
    (Unreachable, ExitCode.UNAVAILABLE),
    (UnexpectedAnswer, ExitCode.UNAVAILABLE),
    (JobNotCompleted, ExitCode.FAILED),
    (WaitTimedOut, ExitCode.TIMED_OUT),
    (ChecksumMismatch, ExitCode.CHECKSUM),
)


def code_of(exc: Exception) -> ExitCode:
    """The exit code after an exception."""
    if isinstance(exc, ApiError) and not isinstance(exc, KeyRejected | Unavailable):
        return ExitCode.REFUSED if exc.status < 500 else ExitCode.ERROR
    return next((code for kind, code in _CODES if isinstance(exc, kind)), ExitCode.ERROR)
