"""What goes wrong in an SFTP call, as `DestinationError`, and the time limit of every call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.kit.error_rules import Fault, printable

MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)

_DENIED = Fault(
    "permission_denied",
    "The server denies it: give the user the right to write, read and rename in the folder `path`.",
)
_NO_SPACE = Fault(
    "no_space", "The server has no space left, or the user's quota is used up: free some there.", transient=True
)
_BAD_NAME = Fault("bad_name", "The server does not accept this name: choose another `file_name` or `path`.")
_NO_FOLDER = Fault("not_a_folder", "A part of `path` is a file, or the name is a folder's: choose another `path`.")
_VANISHED = Fault(
    "vanished", "A file or folder disappeared while it was used; someone else may have moved it.", transient=True
)
_UNSUPPORTED = Fault("unsupported", "The server does not support this.")
_UNKNOWN = Fault("refused", "The server refused without a reason (often a full disk or a quota).", transient=True)

_FAULTS: dict[type[asyncssh.SFTPError], Fault] = {
    asyncssh.SFTPPermissionDenied: _DENIED,
    asyncssh.SFTPWriteProtect: _DENIED,
    asyncssh.SFTPNoSpaceOnFilesystem: _NO_SPACE,
    asyncssh.SFTPQuotaExceeded: _NO_SPACE,
    asyncssh.SFTPInvalidFilename: _BAD_NAME,
    asyncssh.SFTPInvalidParameter: _BAD_NAME,
    asyncssh.SFTPBadMessage: _BAD_NAME,  # OpenSSH, for a name that is too long or that its file system refuses
    asyncssh.SFTPNotADirectory: _NO_FOLDER,
    asyncssh.SFTPFileIsADirectory: _NO_FOLDER,
    asyncssh.SFTPNoSuchFile: _VANISHED,
    asyncssh.SFTPNoSuchPath: _VANISHED,
    asyncssh.SFTPOpUnsupported: _UNSUPPORTED,
}
_TEXTS = {
    ("no space", "disk full", "quota"): _NO_SPACE,
    ("permission denied", "read-only"): _DENIED,
    ("not a directory", "is a directory"): _NO_FOLDER,
    ("name too long", "invalid argument"): _BAD_NAME,
}
"""For SFTPFailure: version 3 of SFTP has one code for most failures, and many servers give the reason as text."""


@asynccontextmanager
async def translate_errors(step: Step, seconds: float) -> AsyncIterator[None]:
    """Around calls to the server, never around the payload's source: a time limit, and errors as `DestinationError`.

    asyncssh drops a request without an answer when the channel is closing, so every call needs this.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        text = f"The server did not answer for {seconds:g} seconds."
        raise DestinationError(step, "stalled", text, transient=True) from exc
    except (asyncssh.Error, OSError) as exc:
        raise _error(step, exc) from exc


def _error(step: Step, exc: Exception) -> DestinationError:
    text = printable(exc.reason if isinstance(exc, asyncssh.Error) else str(exc))
    if not isinstance(exc, asyncssh.SFTPError) or isinstance(exc, _LOST):
        return DestinationError(step, "connection_lost", f"The connection was lost: {text}", transient=True)
    return _fault(exc, text).error(step, f"The server said: {text or 'nothing'}")


def _fault(exc: asyncssh.SFTPError, text: str) -> Fault:
    if isinstance(exc, asyncssh.SFTPFailure):
        for words, fault in _TEXTS.items():
            if any(word in text.lower() for word in words):
                return fault
    return _FAULTS.get(type(exc), _UNKNOWN)
