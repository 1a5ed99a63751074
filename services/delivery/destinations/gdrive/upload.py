"""Drive's resumable upload: a session is started, asked for its offset, filled part by part, or cancelled.

https://developers.google.com/workspace/drive/api/guides/manage-uploads: all parts but the
last are multiples of 256 KiB; 308 means that more is to be sent, and its `Range` what Drive has; 404 means that the
session has expired. A file appears when it is complete.
"""

import asyncio
import hashlib
import re
from contextlib import aclosing
from dataclasses import dataclass

from services.delivery.destinations.contract import DestinationError, Payload, Step
from services.delivery.destinations.gdrive.api import FIELDS, DriveApi
from services.delivery.destinations.gdrive.errors import Answer
from services.delivery.destinations.kit.blocks import blocks

GRAIN = 256 * 1024
PART = 8 * 1024 * 1024
_ENDED = frozenset({400, 404, 410, 416})
"""Statuses of a session that cannot be continued: it has expired, or its offset is not the expected one."""


class Ended(Exception):
    """The session has ended; another one has to be started."""


class IdTaken(Exception):
    """A file of the reserved id exists, or existed."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an upload creates: a new file with a reserved id, or new content of an existing file."""

    new: bool
    id: str
    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A finished session: Drive's description of the file, and the MD5 of what was sent now, else empty."""

    answer: Answer
    md5: str


async def begin(api: DriveApi, target: Target, payload: Payload) -> str:
    """The URL of a new session; whoever knows it can write to it.

    Raises:
        IdTaken, DestinationError.
    """
    described = {"mimeType": payload.media_type}
    if target.new:
        described |= {"id": target.id, "name": target.name}
    answer = await api.call(
        Step.WRITE,
        "POST" if target.new else "PATCH",
        api.url("/upload/drive/v3/files" + ("" if target.new else f"/{target.id}")),
        query={"uploadType": "resumable", "fields": FIELDS},
        headers={"X-Upload-Content-Type": payload.media_type, "X-Upload-Content-Length": str(payload.size)},
        json={**described, "parents": [target.folder]} if target.new else described,
        accept=(404, 409),
    )
    if answer.status == 409:
        raise IdTaken
    if answer.status == 404:  # the file to be replaced, or the folder, does not exist
        raise api.refused(Step.WRITE, answer) if target.new else Ended
    if not answer.headers.get("Location"):
        text = "Google started an upload without giving its URL."
        raise DestinationError(Step.WRITE, "server_error", text, transient=True)
    return answer.headers["Location"]


async def cancel(api: DriveApi, uri: str) -> None:
    """Cancel a session; Google answers 499, or 404 once the session has expired, after a week."""
    await api.http.ask(Step.DELETE, "DELETE", uri, headers=await api.authorization(uri))


class Transfer:
    """Fills one session.

    Args:
        part: bytes of a part, a multiple of 256 KiB.
    """

    def __init__(self, api: DriveApi, uri: str, payload: Payload, part: int) -> None:
        self._api = api
        self._uri = uri
        self._payload = payload
        self._part = part
        self._offset = 0
        self._tries = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    async def run(self) -> Uploaded:
        """Send what the session lacks. The source is read from its beginning, for its hashes.

        Raises:
            Ended, IdTaken, DestinationError.
        """
        answer = await self._query_offset() if self._payload.size else None
        if answer is not None:
            return Uploaded(answer, "")
        self._payload.progress(self._offset)
        start = 0
        async with aclosing(blocks(self._payload.read(0), self._part)) as parts:
            async for part in parts:
                await asyncio.to_thread(self._digest, part)
                end = start + len(part)
                if end >= self._payload.size:
                    return await self._finish(start, part)
                await self._send(start, part)
                start = end
        return await self._finish(start, b"")

    def _digest(self, part: bytes) -> None:
        self._md5.update(part)
        self._sha256.update(part)

    async def _finish(self, start: int, part: bytes) -> Uploaded:
        """Send the last part, with which the file appears; first check that what was read is the payload."""
        if start + len(part) != self._payload.size or self._sha256.hexdigest() != self._payload.sha256:
            await cancel(self._api, self._uri)
            text = "The file that was read is not the file that was exported; it was not shown."
            raise DestinationError(Step.WRITE, "content_mismatch", text, transient=True)
        answer = await self._send(start, part)
        if answer is None:
            raise Ended
        return Uploaded(answer, self._md5.hexdigest())

    async def _send(self, start: int, part: bytes) -> Answer | None:
        """Send what Drive lacks of this part; returns the answer if it ends the session."""
        end = start + len(part)
        with memoryview(part) as view:
            while self._offset < end or not self._payload.size:
                with view[self._offset - start :] as rest:
                    answer = await self._put(rest, end)
                if answer is not None:
                    return answer
                self._payload.progress(self._offset)
        return None

    async def _put(self, rest: memoryview, end: int) -> Answer | None:
        size = self._payload.size
        # An empty file has no range; without a range the body is the whole content.
        ranged = {"Content-Range": f"bytes {self._offset}-{end - 1}/{size}"} if size else {}
        headers = {**await self._api.authorization(self._uri), **ranged}
        answer = await self._api.http.put(self._uri, rest, headers)
        if answer.status in (200, 201):
            self._payload.progress(size)
            return answer
        if answer.status == 308:
            before = self._offset
            self._take(answer)
            if self._offset > before:
                self._tries = 0
                return None
        return await self._retry(answer)

    async def _retry(self, answer: Answer) -> Answer | None:
        """After an answer without progress: wait, then query the offset of the session."""
        self._raise_unless_transient(answer)
        waits = self._api.http.timeouts.waits
        if self._tries >= len(waits):
            raise self._api.refused(Step.WRITE, answer)
        self._tries += 1
        if answer.status == 401:
            await self._api.renew()
        elif not await self._api.http.wait_to_retry(answer, waits[self._tries - 1]):
            raise self._api.refused(Step.WRITE, answer)
        return await self._query_offset() if self._payload.size else None

    async def _query_offset(self) -> Answer | None:
        """Ask how much Drive has; returns the answer if the upload is complete."""
        ranged = {"Content-Range": f"bytes */{self._payload.size}", "Content-Length": "0"}

        async def once() -> Answer:
            headers = {**await self._api.authorization(self._uri), **ranged}
            return await self._api.http.ask(Step.WRITE, "PUT", self._uri, headers=headers)

        answer = await self._api.http.retry_overloaded(once)
        if answer.status == 401:
            await self._api.renew()
            answer = await self._api.http.retry_overloaded(once)
        if answer.status in (200, 201):
            return answer
        if answer.status != 308:
            self._raise_unless_transient(answer)
            raise self._api.refused(Step.WRITE, answer)
        self._take(answer)
        return None

    def _take(self, answer: Answer) -> None:
        """Read from a 308 how much Drive has; without `Range` it has nothing."""
        found = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
        offset = int(found[1]) + 1 if found else 0
        # Parts that were read are not kept, so a session that lost some of them cannot be continued.
        if offset > self._payload.size or offset < self._offset:
            raise Ended
        self._offset = offset

    def _raise_unless_transient(self, answer: Answer) -> None:
        if answer.status in _ENDED:
            raise Ended
        if answer.status == 409:
            raise IdTaken
        if answer.status not in (308, 401) and not answer.overloaded:
            raise self._api.refused(Step.WRITE, answer)
