"""Sends a file to S3 in parts; parts that an earlier attempt sent are not sent again.

The upload's id is kept before a part is sent. A later attempt reads the file from its beginning, as it needs its hash,
and sends the parts that are missing or different.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from services.delivery.destinations.contract import DestinationError, Payload, Step
from services.delivery.destinations.kit.blocks import blocks
from services.delivery.destinations.kit.window import RequestWindow
from services.delivery.destinations.s3.errors import REFUSED
from services.delivery.destinations.s3.objects import Objects, Piece

PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
PARTS_IN_FLIGHT = 2
_MIB = 1024 * 1024
_NOTE = "s3_upload"


def part_size(size: int, wanted: int = PART_BYTES) -> int:
    """Bytes of a part: as wanted, or rounded up to whole MiB where the file would have more than 10,000 parts."""
    if size <= wanted * MAX_PARTS:
        return wanted
    return -(-size // (MAX_PARTS * _MIB)) * _MIB


async def pieces(source: AsyncIterator[bytes], size: int, digest: "hashlib._Hash") -> AsyncGenerator[Piece, None]:
    """The source in pieces of this size, the last one shorter; `digest` is updated with each piece."""
    async with aclosing(blocks(source, size)) as found:
        async for block in found:
            yield await asyncio.to_thread(_piece, block, digest)


def _piece(data: bytes, digest: "hashlib._Hash") -> Piece:
    digest.update(data)
    return Piece.of(data)


def require_same(digest: "hashlib._Hash", payload: Payload) -> None:
    """Fail before anything is shown if the source was not the payload."""
    if digest.hexdigest() != payload.sha256:
        what = "The file that was read is not the file that was exported; it was not shown."
        raise DestinationError(Step.WRITE, "content_mismatch", what, transient=True)


class Upload:
    """The upload of one payload to one key."""

    def __init__(self, objects: Objects, key: str, payload: Payload, wanted: int) -> None:
        self._objects = objects
        self._key = key
        self._payload = payload
        self._size = part_size(payload.size, wanted)
        self._done = 0
        self._sent: dict[int, Any] = {}
        self._sha256: dict[int, str] = {}

    async def run(self, *, replace: bool) -> str:
        """Send all parts and show them; the object's ETag."""
        upload, existing = await self._resume_or_begin()
        digest = hashlib.sha256()
        async with (
            aclosing(pieces(self._payload.read(0), self._size, digest)) as found,
            RequestWindow[None](PARTS_IN_FLIGHT) as window,
        ):
            number = 0
            async for piece in found:
                number += 1
                window.start(self._send(upload, number, piece, existing.get(number)))
                if window.full:
                    await window.oldest()
            while window:
                await window.oldest()
        require_same(digest, self._payload)
        self._payload.verifying()
        etag = await self._complete(upload, replace=replace)
        await self._payload.notes.keep(_NOTE, None)
        return etag

    async def _resume_or_begin(self) -> tuple[str, dict[int, Any]]:
        """The upload to continue, and the parts it has."""
        noted = _noted(self._payload)
        if noted is not None and noted["key"] == self._key and noted["id"]:
            existing = await self._objects.parts(self._key, noted["id"])
            if existing is not None:
                return noted["id"], existing
        await abort(self._objects, self._payload)
        # Noted first, so that an upload whose id was lost with the answer is searched for later.
        await self._note(None)
        upload, doubtful = await self._objects.begin(self._key, self._payload)
        await self._note(upload)
        if doubtful:
            await self._objects.abort_all(self._key, but=upload)
        return upload, {}

    async def _note(self, upload: str | None) -> None:
        await self._payload.notes.keep(_NOTE, json.dumps({"key": self._key, "id": upload}))

    async def _send(self, upload: str, number: int, piece: Piece, existing: Any) -> None:
        if existing is None or not await asyncio.to_thread(piece.matches, existing):
            existing = await self._objects.send_part(self._key, upload, number, piece)
        self._sent[number] = existing
        self._sha256[number] = piece.sha256
        self._done += len(piece.data)
        self._payload.progress(self._done)

    async def _complete(self, upload: str, *, replace: bool) -> str:
        parts = self._parts()
        try:
            return await self._objects.complete(self._key, upload, parts, replace=replace)
        except DestinationError as exc:
            if exc.code != REFUSED.code or all("ChecksumSHA256" in part for part in parts):
                raise
        # SeaweedFS requires the checksum of every part, but its list of parts does not have them.
        parts = [{**part, "ChecksumSHA256": self._sha256[part["PartNumber"]]} for part in parts]
        return await self._objects.complete(self._key, upload, parts, replace=replace)

    def _parts(self) -> list[dict[str, Any]]:
        named = ("ETag", "ChecksumSHA256")
        return [
            {"PartNumber": number, **{name: reported[name] for name in named if reported.get(name)}}
            for number, reported in sorted(self._sent.items())
        ]


async def abort(objects: Objects, payload: Payload) -> None:
    """Abort the upload that earlier attempts started, if there is a note of one."""
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
