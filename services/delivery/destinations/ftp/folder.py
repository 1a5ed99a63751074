"""A platform's folder on an FTP server: created level by level, entered once, then its files by their bare names.

Names with a path mean different things on different servers; after CWD a bare name means the same everywhere. FTP has
no rename that spares an existing file, so another writer that takes the name at the last moment is not noticed.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import PurePosixPath

from services.delivery.destinations.contract import DestinationError, Payload, RemoteFile, Step
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.errors import Garbled, Refused, is_missing, translate_errors
from services.delivery.destinations.ftp.proof import Prover, content
from services.delivery.destinations.ftp.transfer import BLOCK, Transfer
from services.delivery.destinations.kit.blocks import blocks


class FtpFolder:
    """One folder of one server; see `RemoteFolder`.

    Args:
        by_content: whether an upload is verified by its content, not only by its size.
    """

    def __init__(self, client: Client, path: str, prover: Prover, *, by_content: bool) -> None:
        self._client = client
        self._path = PurePosixPath(path)
        self._to_enter = list(self._path.parts)
        self._prover = prover
        self._by_content = by_content

    def path(self, name: str) -> str:
        """The path that the config and the name make."""
        return str(self._path / name)

    async def check(self) -> None:
        """Enter the current folder again; it may have been removed."""
        with translate_errors(Step.CONNECT):
            await self._client.ask("CWD .", "2xx")

    async def make(self) -> None:
        """Enter the folder; what is missing of it is created."""
        with translate_errors(Step.WRITE):
            await self._enter(create=True)

    async def stat(self, name: str, step: Step) -> RemoteFile | None:
        """By SIZE; a folder of this name counts as no file."""
        with translate_errors(step):
            size = await self._size(name) if await self._enter(create=False) else None
        return None if size is None else RemoteFile(self.path(name), size)

    async def upload(self, part: str, existing: RemoteFile | None, payload: Payload) -> Mapping[str, str]:
        """Resume by size, which is enough where the content is verified; otherwise start from scratch."""
        size = existing.size if existing and self._by_content else None
        if size == payload.size:
            payload.progress(size)
        else:
            await self._send(part, size if size and size < payload.size else 0, payload)
        payload.verifying()
        return await self._verify(part, payload)

    async def same_content(self, found: RemoteFile, name: str, payload: Payload) -> bool:  # noqa: ARG002
        """By a hash of the server's, else by reading the file back."""
        return (await self._prover.proof(name, payload)).same

    async def rename(self, old: str, new: str) -> None:
        """Rename; over an existing file where the server does that."""
        with translate_errors(Step.WRITE):
            await self._rename(old, new)

    async def replace(self, old: str, new: str) -> bool:
        """Rename over an existing file; False if the server refuses because of it."""
        with translate_errors(Step.WRITE):
            try:
                await self._rename(old, new)
            except Refused as exc:
                if not exc.code.startswith("5") or await self._size(new) is None:
                    raise
                return False
        return True

    async def remove(self, name: str) -> None:
        """Delete a file."""
        with translate_errors(Step.DELETE):
            if await self._enter(create=False):
                await self._remove(name)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""
        with translate_errors(Step.READ):
            await self._enter(create=False)
        async with aclosing(content(self._client, name)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _send(self, part: str, offset: int, payload: Payload) -> None:
        with translate_errors(Step.WRITE):
            transfer, sent = await self._store(part, offset)
        try:
            # The time limit is for each block, so a slow line needs small ones.
            async with aclosing(blocks(payload.read(sent), BLOCK)) as pieces:
                async for piece in pieces:
                    with translate_errors(Step.WRITE):
                        await transfer.write(piece)
                    sent += len(piece)
                    payload.progress(sent)
            with translate_errors(Step.WRITE):
                await transfer.finish()
        finally:
            transfer.abort()

    async def _store(self, part: str, offset: int) -> tuple[Transfer, int]:
        """REST and STOR; unlike APPE, harmless if the server is still writing what an earlier attempt sent."""
        try:
            return await self._client.transfer(f"STOR {part}", offset), offset
        except Refused as exc:
            if exc.verb != "REST":
                raise
            return await self._client.transfer(f"STOR {part}"), 0

    async def _verify(self, part: str, payload: Payload) -> Mapping[str, str]:
        """Compare the part; a wrong one is deleted, since resuming goes by size."""
        with translate_errors(Step.WRITE):
            size = await self._size(part)
        if size == payload.size:
            if not self._by_content:
                return {}
            proof = await self._prover.proof(part, payload)
            if proof.same:
                return proof.reported
        with translate_errors(Step.WRITE):
            await self._remove(part)
        text = f"What arrived is not what was sent ({size} of {payload.size} bytes); it was deleted."
        raise DestinationError(Step.WRITE, "content_mismatch", text, transient=True)

    async def _enter(self, *, create: bool) -> bool:
        """Change to the folder; False if it does not exist and is not to be created."""
        if self._to_enter:
            try:
                await self._client.ask(f"CWD {PurePosixPath(*self._to_enter)}", "2xx")
            except Refused as exc:
                if not exc.code.startswith("5"):
                    raise
                if not create:
                    return False
                await self._create()
            self._to_enter = []
        return True

    async def _create(self) -> None:
        """Level by level, so that the level that is refused says why. Each CWD is relative to the one before."""
        while self._to_enter:
            level = self._to_enter[0]
            try:
                await self._client.ask(f"CWD {level}", "2xx")
            except Refused:
                await self._create_level(level)
            self._to_enter.pop(0)

    async def _create_level(self, level: str) -> None:
        refused: Refused | None = None
        try:
            await self._client.ask(f"MKD {level}", "2xx")
        except Refused as exc:  # someone else may have created it meanwhile
            refused = exc
        try:
            await self._client.ask(f"CWD {level}", "2xx")
        except Refused as exc:
            raise refused or exc from None

    async def _size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none, or it is a folder."""
        try:
            answer = (await self._client.ask(f"SIZE {name}", "213"))[-1]
        except Refused as exc:
            if exc.code == "550" or is_missing(exc):
                return None
            raise
        if not answer.strip().isdecimal():
            raise Garbled(f"SIZE: {answer[:50]!r}")
        return int(answer)

    async def _rename(self, old: str, new: str) -> None:
        await self._client.ask(f"RNFR {old}", "350")
        await self._client.ask(f"RNTO {new}", "2xx")

    async def _remove(self, name: str) -> None:
        try:
            await self._client.ask(f"DELE {name}", "2xx")
        except Refused:
            if await self._size(name) is not None:
                raise
