"""A session at one folder of Drive.

Drive allows several files of one name, so files are identified by id: the id of a new file is reserved and kept before
anything is sent, and Drive refuses a second upload with the same id.
"""

import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass

from services.delivery.destinations.contract import DestinationError, NameTaken, Payload, RemoteFile, Step
from services.delivery.destinations.gdrive.api import DriveApi, DriveFile, drive_file
from services.delivery.destinations.gdrive.http import translate_errors
from services.delivery.destinations.gdrive.upload import Ended, IdTaken, Target, Transfer, Uploaded, begin, cancel
from services.delivery.destinations.kit.blocks import hexdigest

NOTE = "upload"
MAX_SESSIONS = 4
"""Sessions that an attempt starts if Google ends them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a delivery keeps about its upload; `uri` is empty while there is no session."""

    target: Target
    uri: str


class DriveSession:
    """One folder; see the contract.

    Args:
        part: bytes of a part.
    """

    def __init__(self, api: DriveApi, part: int) -> None:
        self._api = api
        self._part = part

    async def is_alive(self) -> bool:
        """Always: the HTTP client replaces connections that were closed."""
        return True

    async def find(self, name: str) -> RemoteFile | None:
        """The file of this name; of several, the one modified last."""
        found = await self._api.named(name, Step.READ)
        return _remote(found[0]) if found else None

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """By the hashes that Drive has of every file."""
        return await _same(found, payload)

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """Upload as a new file, or as new content of the file of this name that was modified last.

        New content keeps the file's id, so links stay valid; readers see the old content until the upload is complete.
        """
        await self._api.check_folder()
        for _ in range(MAX_SESSIONS):
            target, done = await self._target(name, payload, replace=replace)
            if done is not None:
                payload.verifying()
                return done
            try:
                uploaded = await self._upload(target, payload)
            except Ended:
                await _keep(payload, Kept(target, ""))
            except IdTaken:
                await _keep(payload, Kept(target, ""))
                if await self._api.get(target.id, Step.WRITE) is None:  # it existed, and was removed
                    await _keep(payload, None)
            else:
                return await self._verified(target, uploaded, payload)
        text = "Google ended every upload that was started; the next attempt starts from scratch."
        raise DestinationError(Step.WRITE, "session_expired", text, transient=True)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""
        found = await self.find(name)
        if found is None:
            raise DestinationError(Step.READ, "no_such_file", f"There is no file {name!r}.", transient=False)
        async with self._api.content(found.remote) as response:
            chunks = response.content.iter_any()
            while True:
                with translate_errors(Step.READ):
                    chunk = await anext(chunks, b"")
                if not chunk:
                    return
                yield chunk

    async def remove(self, name: str) -> None:
        """Delete the file that `find` finds."""
        found = await self._api.named(name, Step.DELETE)
        if found:
            await self._api.remove(found[0].id)

    async def tidy(self, name: str, payload: Payload) -> None:  # noqa: ARG002
        """Cancel the upload session; an unfinished attempt leaves nothing else."""
        kept = _kept(payload)
        if kept is not None and kept.uri:
            await cancel(self._api, kept.uri)
        if kept is not None:
            await _keep(payload, None)

    async def _target(self, name: str, payload: Payload, *, replace: bool) -> tuple[Target, RemoteFile | None]:
        """What to upload to, and the file if an earlier attempt has already completed it.

        Raises:
            NameTaken: another's file of the name exists and may not be replaced.
        """
        kept = _kept(payload)
        ours = kept.target if kept is not None and (kept.target.name, kept.target.folder) == self._at(name) else None
        mine = await self._api.get(ours.id, Step.WRITE) if ours is not None else None
        if ours is not None and mine is not None and mine.name == name and await _same(_remote(mine), payload):
            return ours, _remote(mine)
        made = mine.id if ours is not None and mine is not None and ours.new else None
        others = [file for file in await self._api.named(name, Step.WRITE) if file.id != made]
        if others and not replace:
            raise NameTaken(name)
        if made is not None or others:
            return Target(False, made or others[0].id, *self._at(name)), None
        if ours is not None and ours.new:
            return ours, None
        return Target(True, await self._api.new_id(), *self._at(name)), None

    def _at(self, name: str) -> tuple[str, str]:
        return name, self._api.folder

    async def _upload(self, target: Target, payload: Payload) -> Uploaded:
        """Through the session of an earlier attempt, if it had one for the same target."""
        kept = _kept(payload)
        if kept is None or kept.target != target or not kept.uri:
            if kept is not None and kept.uri:
                await cancel(self._api, kept.uri)
            await _keep(payload, Kept(target, ""))
            kept = Kept(target, await begin(self._api, target, payload))
            await _keep(payload, kept)
        return await Transfer(self._api, kept.uri, payload, self._part).run()

    async def _verified(self, target: Target, uploaded: Uploaded, payload: Payload) -> RemoteFile:
        """The file, if Drive has what was sent; otherwise a new file is deleted."""
        payload.verifying()
        await _keep(payload, Kept(target, ""))
        found = drive_file(uploaded.answer.data) or await self._api.get(target.id, Step.WRITE)
        if found is not None and await _same(_remote(found), payload, uploaded.md5):
            return _remote(found)
        if target.new:
            await self._api.remove(target.id)
            await _keep(payload, None)
        text = "Drive reports another size or MD5 than that of the file that was sent; the next attempt sends it again."
        raise DestinationError(Step.WRITE, "content_mismatch", text, transient=True)


def _remote(file: DriveFile) -> RemoteFile:
    reported = {"md5": file.md5, "sha256": file.sha256, "modified": file.modified}
    return RemoteFile(file.id, file.size, {key: value for key, value in reported.items() if value}, file.url)


async def _same(found: RemoteFile, payload: Payload, md5: str = "") -> bool:
    """Whether size and hash agree: SHA-256 where Drive has it; MD5 if it is known, or if Drive has nothing else."""
    sha256 = found.reported.get("sha256", "")
    if found.size != payload.size or (sha256 and sha256 != payload.sha256):
        return False
    if sha256 and not md5:
        return True
    sent = md5 or await hexdigest(payload.read(0), hashlib.md5(usedforsecurity=False))
    return found.reported.get("md5") == sent


def _kept(payload: Payload) -> Kept | None:
    text = payload.notes.get(NOTE)
    if text is None:
        return None
    found = json.loads(text)
    return Kept(Target(**found["target"]), found["uri"])


async def _keep(payload: Payload, kept: Kept | None) -> None:
    text = None if kept is None else json.dumps(asdict(kept))
    if payload.notes.get(NOTE) != text:
        await payload.notes.keep(NOTE, text)
