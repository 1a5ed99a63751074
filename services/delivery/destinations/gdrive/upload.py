"""Drive's resumable upload: a session that is begun, asked how far it is, filled part by part, or given up.

https://developers.google.com/workspace/drive/api/guides/manage-uploads: parts are multiples of 256 KiB but for the
last, 308 means there is more to send and `Range` how much is there, 404 that the session has expired. A file shows when
it is whole.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from services.delivery.destinations.contract import DestinationError, Payload, Step
from services.delivery.destinations.gdrive.api import FIELDS, DriveApi
from services.delivery.destinations.gdrive.errors import Answer

GRAIN = 256 * 1024
PART = 8 * 1024 * 1024
_ENDED = frozenset({400, 404, 410, 416})
"""Statuses of a session that cannot be continued: expired, or not as we think it is."""


class Ended(Exception):
    """The session is no more; begin anew."""


class IdTaken(Exception):
    """There is, or was, a file of the id that was to be made."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an upload makes: a new file of an id that was reserved for it, or new content of a file that is there."""

    new: bool
    id: str
    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A finished session: what Drive says of the file, and the MD5 of what was sent, where it was sent now."""

    answer: Answer
    md5: str


async def begin(api: DriveApi, target: Target, payload: Payload) -> str:
    """The address of a new session; whoever knows it can write to it.

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
        but=(404, 409),
    )
    if answer.status == 409:
        raise IdTaken
    if answer.status == 404:  # what was to be replaced is gone, or the folder
        raise api.refused(Step.WRITE, answer) if target.new else Ended
    if not answer.headers.get("Location"):
        text = "Google began an upload without saying where to send it."
        raise DestinationError(Step.WRITE, "server_error", text, transient=True)
    return answer.headers["Location"]


async def cancel(api: DriveApi, uri: str) -> None:
    """Give a session up; Google answers 499, or 404 when it has forgotten it anyway, as it does after a week."""
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
        self._there = 0
        self._tries = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    async def run(self) -> Uploaded:
        """Send what the session lacks. The source is read from its beginning, for its hashes.

        Raises:
            Ended, IdTaken, DestinationError.
        """
        answer = await self._ask_how_far() if self._payload.size else None
        if answer is not None:
            return Uploaded(answer, "")
        self._payload.progress(self._there)
        start = 0
        async with aclosing(_parts(self._payload.read(0), self._part)) as parts:
            async for part in parts:
                await asyncio.to_thread(self._digest, part)
                end = start + len(part)
                if end >= self._payload.size:
                    return await self._finish(start, part)
                await self._send(start, part)
                start = end
        return await self._finish(start, bytearray())

    def _digest(self, part: bytearray) -> None:
        self._md5.update(part)
        self._sha256.update(part)

    async def _finish(self, start: int, part: bytearray) -> Uploaded:
        """Send the last part, if all that was read is what was promised: Drive shows the file with it."""
        if start + len(part) != self._payload.size or self._sha256.hexdigest() != self._payload.sha256:
            await cancel(self._api, self._uri)
            text = "What was read to be sent is not the file that was exported; nothing was shown."
            raise DestinationError(Step.WRITE, "content_mismatch", text, transient=True)
        answer = await self._send(start, part)
        if answer is None:
            raise Ended
        return Uploaded(answer, self._md5.hexdigest())

    async def _send(self, start: int, part: bytearray) -> Answer | None:
        """Send what Drive lacks of this part; the answer that ends the session, if it is that."""
        end = start + len(part)
        with memoryview(part) as view:
            while self._there < end or not self._payload.size:
                with view[self._there - start :] as rest:
                    answer = await self._put(rest, end)
                if answer is not None:
                    return answer
                self._payload.progress(self._there)
        return None

    async def _put(self, rest: memoryview, end: int) -> Answer | None:
        size = self._payload.size
        # An empty file has no range; without one the body is the whole content.
        ranged = {"Content-Range": f"bytes {self._there}-{end - 1}/{size}"} if size else {}
        headers = {**await self._api.authorization(self._uri), **ranged}
        answer = await self._api.http.put(self._uri, rest, headers)
        if answer.status in (200, 201):
            self._payload.progress(size)
            return answer
        if answer.status == 308:
            before = self._there
            self._take(answer)
            if self._there > before:
                self._tries = 0
                return None
        return await self._again(answer)

    async def _again(self, answer: Answer) -> Answer | None:
        """After an answer that did not bring us on: wait, then ask how far the session is."""
        self._raise_unless_transient(answer)
        waits = self._api.http.limits.waits
        if self._tries >= len(waits):
            raise self._api.refused(Step.WRITE, answer)
        self._tries += 1
        if answer.status == 401:
            await self._api.renew()
        elif not await self._api.http.rest(answer, waits[self._tries - 1]):
            raise self._api.refused(Step.WRITE, answer)
        return await self._ask_how_far() if self._payload.size else None

    async def _ask_how_far(self) -> Answer | None:
        """Learn how much is there; the answer that ended the session, if it has ended well."""
        ranged = {"Content-Range": f"bytes */{self._payload.size}", "Content-Length": "0"}

        async def once() -> Answer:
            headers = {**await self._api.authorization(self._uri), **ranged}
            return await self._api.http.ask(Step.WRITE, "PUT", self._uri, headers=headers)

        answer = await self._api.http.patiently(once)
        if answer.status == 401:
            await self._api.renew()
            answer = await self._api.http.patiently(once)
        if answer.status in (200, 201):
            return answer
        if answer.status != 308:
            self._raise_unless_transient(answer)
            raise self._api.refused(Step.WRITE, answer)
        self._take(answer)
        return None

    def _take(self, answer: Answer) -> None:
        """How much is there, of a 308; without `Range` nothing is."""
        found = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
        there = int(found[1]) + 1 if found else 0
        # Parts that were read are not kept, so a session that has lost some cannot be continued from here.
        if there > self._payload.size or there < self._there:
            raise Ended
        self._there = there

    def _raise_unless_transient(self, answer: Answer) -> None:
        if answer.status in _ENDED:
            raise Ended
        if answer.status == 409:
            raise IdTaken
        if answer.status not in (308, 401) and not answer.overloaded:
            raise self._api.refused(Step.WRITE, answer)


async def _parts(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytearray, None]:
    """The same bytes in parts of exactly this size, the last one shorter."""
    part = bytearray()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            taken = min(size - len(part), len(rest))
            part += rest[:taken]
            rest = rest[taken:]
            if len(part) == size:
                yield part
                part = bytearray()
    if part:
        yield part
