"""What goes wrong in an SFTP call, in the words of a delivery, and the time limit that every call has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from services.delivery.destinations.contract import DestinationError, Step

MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_DENIED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect)
_FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
# OpenSSH says BAD_MESSAGE for a name that is too long or that its file system does not take.
_BAD_NAME = (asyncssh.SFTPInvalidFilename, asyncssh.SFTPInvalidParameter, asyncssh.SFTPBadMessage)
_NO_FOLDER = (asyncssh.SFTPNotADirectory, asyncssh.SFTPFileIsADirectory)
_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)

_TEXTS = (
    (("no space", "disk full", "quota"), _FULL[0]),
    (("permission denied", "read-only"), _DENIED[0]),
    (("not a directory", "is a directory"), _NO_FOLDER[0]),
    (("name too long", "invalid argument"), _BAD_NAME[0]),
)
"""SFTP version 3 has one code for all failures but four; many servers say in its text what happened."""


@asynccontextmanager
async def calling(step: Step, seconds: float) -> AsyncIterator[None]:
    """Around calls to the server, never around the payload's source: a time limit, and errors as `DestinationError`.

    asyncssh drops a request without an answer when the channel is closing, so no call may go without this.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise DestinationError(
            step, "stalled", f"The server did not answer for {seconds:g} seconds.", transient=True
        ) from exc
    except (asyncssh.Error, OSError) as exc:
        raise translated(step, exc) from exc


def translated(step: Step, exc: Exception) -> DestinationError:
    """The failure of a call."""
    said = (exc.reason if isinstance(exc, asyncssh.Error) else str(exc))[:200]
    if not isinstance(exc, asyncssh.SFTPError) or isinstance(exc, _LOST):
        return DestinationError(step, "connection_lost", f"The connection was lost: {said}", transient=True)
    kind = _kind(exc, said)
    if issubclass(kind, _DENIED):
        what = "The server denies it: give the user the right to write, read and rename in the folder `path`."
        return DestinationError(step, "permission_denied", f"{what} It said: {said}", transient=False)
    if issubclass(kind, _FULL):
        what = "The server has no space left, or the user's quota is used up: make room there."
        return DestinationError(step, "no_space", f"{what} It said: {said}", transient=True)
    if issubclass(kind, _BAD_NAME):
        what = "The server does not take this name: choose another `file_name` or `path`."
        return DestinationError(step, "bad_name", f"{what} It said: {said}", transient=False)
    if issubclass(kind, _NO_FOLDER):
        what = "A part of `path` is a file and no folder, or the name is a folder's: choose another `path`."
        return DestinationError(step, "not_a_folder", f"{what} It said: {said}", transient=False)
    if issubclass(kind, MISSING):
        what = "A file or folder vanished while it was used; somebody else may have moved it."
        return DestinationError(step, "vanished", f"{what} It said: {said}", transient=True)
    if issubclass(kind, asyncssh.SFTPOpUnsupported):
        return DestinationError(step, "unsupported", f"The server cannot do this: {said}", transient=False)
    what = "The server refused without a reason we know (often a full disk or a quota)."
    return DestinationError(step, "refused", f"{what} It said: {said or 'nothing'}", transient=True)


def _kind(exc: asyncssh.SFTPError, said: str) -> type[asyncssh.SFTPError]:
    if isinstance(exc, asyncssh.SFTPFailure):
        for words, kind in _TEXTS:
            if any(word in said.lower() for word in words):
                return kind
    return type(exc)
