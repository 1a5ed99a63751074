"""Sending a file to S3 in parts: two on their way at most, and what an earlier attempt sent is not sent again.

The upload's id is kept before a part is sent. A later attempt reads the file from its beginning, which it must to know
its hash, and sends the parts that are not there, or are not the same.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from services.delivery.destinations.contract import DestinationError, Payload, Step
from services.delivery.destinations.s3.objects import Objects, Piece

PART_BYTES = 8 * 1024 * 1024
MOST_PARTS = 10_000
IN_FLIGHT = 2
_MIB = 1024 * 1024
_NOTE = "s3_upload"


def part_size(size: int, wanted: int = PART_BYTES) -> int:
    """Bytes of a part: as wanted, or whole MiB more where the file would have more than 10,000 parts."""
    if size <= wanted * MOST_PARTS:
        return wanted
    return -(-size // (MOST_PARTS * _MIB)) * _MIB


async def pieces(source: AsyncIterator[bytes], size: int, digest: "hashlib._Hash") -> AsyncGenerator[Piece, None]:
    """The source in pieces of this size, the last one shorter; `digest` has seen what was yielded.

    No piece is yielded of an empty source.
    """
    held = bytearray()
    async for chunk in source:
        rest = memoryview(chunk)
        while rest:
            room = size - len(held)
            held += rest[:room]
            rest = rest[room:]
            if len(held) == size:
                yield await asyncio.to_thread(_piece, bytes(held), digest)
                held = bytearray()
    if held:
        yield await asyncio.to_thread(_piece, bytes(held), digest)


def _piece(data: bytes, digest: "hashlib._Hash") -> Piece:
    digest.update(data)
    return Piece.of(data)


def require_same(digest: "hashlib._Hash", payload: Payload) -> None:
    """What was read must be what was promised, before anybody sees it."""
    if digest.hexdigest() != payload.sha256:
        what = "The file that was read is not the file that was exported; nothing was shown."
        raise DestinationError(Step.WRITE, "content_mismatch", what, transient=True)


class Upload:
    """One payload on its way to one key."""

    def __init__(self, objects: Objects, key: str, payload: Payload, wanted: int) -> None:
        self._objects = objects
        self._key = key
        self._payload = payload
        self._size = part_size(payload.size, wanted)
        self._done = 0
        self._sent: dict[int, Any] = {}

    async def run(self, *, replace: bool) -> str:
        """Send all parts and show them; the object's ETag."""
        upload, there = await self._begun()
        digest = hashlib.sha256()
        async with (
            aclosing(pieces(self._payload.read(0), self._size, digest)) as found,
            _Window() as window,
        ):
            number = 0
            async for piece in found:
                number += 1
                await window.ask(self._send(upload, number, piece, there.get(number)))
            await window.empty()
        require_same(digest, self._payload)
        self._payload.verifying()
        etag = await self._objects.complete(self._key, upload, self._parts(), replace=replace)
        await self._payload.notes.keep(_NOTE, None)
        return etag

    async def _begun(self) -> tuple[str, dict[int, Any]]:
        """The upload to go on with, and its parts."""
        noted = _noted(self._payload)
        if noted is not None and noted["key"] == self._key and noted["id"]:
            there = await self._objects.parts(self._key, noted["id"])
            if there is not None:
                return noted["id"], there
        await drop(self._objects, self._payload)
        # Kept first, so that an upload whose id we never heard is looked for later.
        await self._note(None)
        upload, doubtful = await self._objects.begin(self._key, self._payload)
        await self._note(upload)
        if doubtful:
            await self._objects.abort_all(self._key, but=upload)
        return upload, {}

    async def _note(self, upload: str | None) -> None:
        await self._payload.notes.keep(_NOTE, json.dumps({"key": self._key, "id": upload}))

    async def _send(self, upload: str, number: int, piece: Piece, there: Any) -> None:
        if there is None or not await asyncio.to_thread(piece.is_at, there):
            there = await self._objects.send_part(self._key, upload, number, piece)
        self._sent[number] = there
        self._done += len(piece.data)
        self._payload.progress(self._done)

    def _parts(self) -> list[dict[str, Any]]:
        named = ("ETag", "ChecksumSHA256")
        return [
            {"PartNumber": number, **{name: told[name] for name in named if told.get(name)}}
            for number, told in sorted(self._sent.items())
        ]


async def drop(objects: Objects, payload: Payload) -> None:
    """Abort what earlier attempts began; without a note there is nothing."""
    noted = _noted(payload)
    if noted is None:
        return
    if noted["id"]:
        await objects.abort(noted["key"], noted["id"])
    else:
        await objects.abort_all(noted["key"], but=None)
    await payload.notes.keep(_NOTE, None)


def _noted(payload: Payload) -> Any:
    text = payload.notes.get(_NOTE)
    return json.loads(text) if text else None


class _Window:
    """Parts on their way."""

    def __init__(self) -> None:
        self._tasks: deque[asyncio.Task[None]] = deque()

    async def ask(self, work: Any) -> None:
        """Start, once there is room."""
        self._tasks.append(asyncio.create_task(work))
        if len(self._tasks) >= IN_FLIGHT:
            await self._tasks.popleft()

    async def empty(self) -> None:
        """Wait for all."""
        while self._tasks:
            await self._tasks.popleft()

    async def __aenter__(self) -> "_Window":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
