"""A session at a bucket. Objects only appear when they are complete, so nothing is renamed."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from services.delivery.destinations.contract import DestinationError, NameTaken, Payload, RemoteFile, Step
from services.delivery.destinations.kit.blocks import at_most, hexdigest
from services.delivery.destinations.s3.objects import MD5, Objects, Piece
from services.delivery.destinations.s3.upload import Upload, abort, pieces, require_same


class S3Session:
    """See the contract.

    Args:
        part_bytes: size of a part; a file that is not larger is sent in one request.
    """

    def __init__(self, objects: Objects, part_bytes: int) -> None:
        self._objects = objects
        self._part_bytes = part_bytes

    async def is_alive(self) -> bool:
        """Always: the HTTP client replaces connections that were closed."""
        return True

    async def find(self, name: str) -> RemoteFile | None:
        """The object of this name."""
        return await self._objects.stat(self._objects.key(name), Step.READ)

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """By the SHA-256 in its metadata; without one, by its ETag or its content."""
        if found.size != payload.size:
            return False
        if "sha256" in found.reported:
            return found.reported["sha256"] == payload.sha256
        etag = found.reported.get("etag", "")
        # Only equality proves something: the ETag of an encrypted object is not an MD5.
        if MD5.fullmatch(etag) and await hexdigest(payload.read(0), hashlib.md5(usedforsecurity=False)) == etag:
            return True
        key = found.remote.split("/", 3)[3]
        content = at_most(self._objects.read(key), payload.size)
        return await hexdigest(content, hashlib.sha256()) == payload.sha256

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """See the contract."""
        key = self._objects.key(name)
        existing = None if replace else await self._objects.stat(key, Step.WRITE)
        if existing is not None:
            return await self._taken(name, existing, payload)
        try:
            etag = await self._sent(key, payload, replace=replace)
        except DestinationError as exc:
            if exc.code == "name_taken":
                return await self._taken(name, await self._objects.stat(key, Step.WRITE), payload)
            if exc.code == "upload_vanished":
                return await self._completed_before(key, payload, exc)
            raise
        await abort(self._objects, payload)
        return await self._verified(key, etag, payload)

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of an object."""
        return self._objects.read(self._objects.key(name))

    async def remove(self, name: str) -> None:
        """Delete an object."""
        await self._objects.remove(self._objects.key(name))

    async def tidy(self, name: str, payload: Payload) -> None:  # noqa: ARG002  the note has the key
        """Abort the upload."""
        await abort(self._objects, payload)

    async def _sent(self, key: str, payload: Payload, *, replace: bool) -> str:
        if payload.size > self._part_bytes:
            return await Upload(self._objects, key, payload, self._part_bytes).run(replace=replace)
        digest = hashlib.sha256()
        # One byte more than the payload should have, to notice a longer source.
        async with aclosing(pieces(payload.read(0), payload.size + 1, digest)) as found:
            piece = await anext(found, None)
        require_same(digest, payload)
        etag = await self._objects.put(key, piece or Piece.of(b""), payload, replace=replace)
        payload.progress(payload.size)
        payload.verifying()
        return etag

    async def _verified(self, key: str, etag: str, payload: Payload) -> RemoteFile:
        """The object as the server has it now.

        Raises:
            DestinationError: it is not the one that was sent.
        """
        found = await self._objects.stat(key, Step.WRITE)
        if found is None:
            raise _changed("is gone")
        # rclone's server names another ETag for an upload in parts than for the object that it becomes.
        is_same = found.reported.get("etag") == etag.strip('"') or _is_this_delivery(found, payload)
        if not is_same or found.size != payload.size:
            raise _changed("is another")
        if found.reported.get("sha256", payload.sha256) != payload.sha256:
            raise _changed("has other metadata")
        return found

    async def _taken(self, name: str, existing: RemoteFile | None, payload: Payload) -> RemoteFile:
        """The existing object, if an earlier attempt of this delivery wrote it and its answer was lost.

        Raises:
            NameTaken: it is another's.
        """
        await abort(self._objects, payload)
        if existing is None or not _is_this_delivery(existing, payload):
            raise NameTaken(name)
        return existing

    async def _completed_before(self, key: str, payload: Payload, exc: DestinationError) -> RemoteFile:
        """An upload also vanishes by being completed."""
        await abort(self._objects, payload)
        found = await self._objects.stat(key, Step.WRITE)
        if found is None or not _is_this_delivery(found, payload):
            raise exc
        return found


def _is_this_delivery(found: RemoteFile, payload: Payload) -> bool:
    return (found.size, found.reported.get("sha256"), found.reported.get("delivery")) == (
        payload.size,
        payload.sha256,
        payload.delivery_id,
    )


def _changed(what: str) -> DestinationError:
    text = f"The object {what}, a moment after it was written; another client may write this name too."
    return DestinationError(Step.WRITE, "changed_meanwhile", text, transient=True)
