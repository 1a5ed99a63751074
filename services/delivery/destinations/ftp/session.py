"""What a delivery does on an FTP connection that is logged in: look, send, prove, show, read, remove."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from services.delivery.destinations.contract import DestinationError, NameTaken, Payload, RemoteFile, Step
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.errors import told
from services.delivery.destinations.ftp.folder import Folder, check_name
from services.delivery.destinations.ftp.proof import Proof, Prover, content
from services.delivery.destinations.ftp.transfer import BLOCK, Transfer
from services.delivery.destinations.ftp.words import Refused


class FtpSession:
    """One folder of one server.

    Args:
        by_content: whether what was sent is verified by its content, not only by its size.
    """

    def __init__(self, client: Client, folder: Folder, prover: Prover, *, by_content: bool) -> None:
        self._client = client
        self._folder = folder
        self._prover = prover
        self._by_content = by_content

    async def find(self, name: str) -> RemoteFile | None:
        """The file of this name."""
        check_name(name)
        with told(Step.READ):
            size = await self._folder.size(name) if await self._folder.enter(create=False) else None
        return None if size is None else RemoteFile(self._folder.remote(name), size)

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """By size and content, also when `verify` is content with sizes: two exports often have the same."""
        name = found.remote.rpartition("/")[2]
        return found.size == payload.size and (await self._prover.proof(name, payload)).same

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """A part, resumed where an earlier attempt stopped, verified, then renamed."""
        check_name(name)
        part = _part(payload)
        with told(Step.WRITE):
            await self._folder.enter(create=True)
            await self._refuse_taken(name, replace=replace)
            there = await self._folder.size(part)
        # A part of which nothing but the size will be looked at is trusted as far as this attempt wrote it.
        await self._fill(part, there if self._by_content else None, payload)
        payload.verifying()
        proof = await self._verified(part, payload)
        with told(Step.WRITE):
            await self._refuse_taken(name, replace=replace)
            await self._show(part, name, _aside(payload), replace=replace)
            if there is not None:  # an earlier attempt may have stopped between its renames
                await self._folder.drop(_aside(payload))
        return RemoteFile(self._folder.remote(name), payload.size, proof.reported)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """The bytes of a file."""
        check_name(name)
        with told(Step.READ):
            await self._folder.enter(create=False)
        async with aclosing(content(self._client, name)) as blocks:
            async for block in blocks:
                yield block

    async def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        check_name(name)
        with told(Step.DELETE):
            if await self._folder.enter(create=False):
                await self._folder.drop(name)

    async def tidy(self, name: str, payload: Payload) -> None:
        """Delete the part; what was moved aside goes back if nothing took its place."""
        check_name(name)
        aside = _aside(payload)
        with told(Step.DELETE):
            if not await self._folder.enter(create=False):
                return
            await self._folder.drop(_part(payload))
            if await self._folder.size(aside) is not None and await self._folder.size(name) is None:
                await self._folder.rename(aside, name)
            await self._folder.drop(aside)

    async def _refuse_taken(self, name: str, *, replace: bool) -> None:
        if not replace and await self._folder.size(name) is not None:
            raise NameTaken(name)

    async def _fill(self, part: str, there: int | None, payload: Payload) -> None:
        """Send what the part lacks; one that is longer than the file is begun anew."""
        if there == payload.size:
            payload.progress(there)
            return
        with told(Step.WRITE):
            transfer, sent = await self._storing(part, there if there and there < payload.size else 0)
        try:
            async for chunk in payload.read(sent):
                for piece in _pieces(chunk):
                    with told(Step.WRITE):
                        await transfer.write(piece)
                    sent += len(piece)
                    payload.progress(sent)
            with told(Step.WRITE):
                await transfer.finish()
        finally:
            transfer.abort()

    async def _storing(self, part: str, offset: int) -> tuple[Transfer, int]:
        """REST and STOR: unlike APPE it is harmless when the server still writes what an earlier attempt sent."""
        try:
            return await self._client.transfer(f"STOR {part}", offset), offset
        except Refused as exc:
            if exc.verb != "REST":
                raise
            return await self._client.transfer(f"STOR {part}"), 0

    async def _verified(self, part: str, payload: Payload) -> Proof:
        """The part is what it should be; a wrong one is deleted, the next attempt begins anew."""
        with told(Step.WRITE):
            size = await self._folder.size(part)
        proof = Proof(same=size == payload.size)
        if proof.same and self._by_content:
            proof = await self._prover.proof(part, payload)
        if not proof.same:
            with told(Step.WRITE):
                await self._folder.drop(part)
            text = f"What arrived is not what was sent ({size} of {payload.size} bytes); it was deleted."
            raise DestinationError(Step.WRITE, "content_mismatch", text, transient=True)
        return proof

    async def _show(self, part: str, name: str, aside: str, *, replace: bool) -> None:
        try:
            await self._folder.rename(part, name)
        except Refused as exc:
            if not exc.code.startswith("5") or await self._folder.size(name) is None:
                raise
            if not replace:
                raise NameTaken(name) from exc
            await self._folder.exchange(part, name, aside)


def _part(payload: Payload) -> str:
    return f".{payload.delivery_id}.part"


def _aside(payload: Payload) -> str:
    return f".{payload.delivery_id}.old"


def _pieces(chunk: bytes) -> Iterator[bytes | memoryview]:
    """The time limit is for a piece, so a slow line needs small ones."""
    view = memoryview(chunk)
    return (view[start : start + BLOCK] for start in range(0, len(chunk), BLOCK))
