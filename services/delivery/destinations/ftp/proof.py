"""Whether a file on an FTP server is the payload: by a hash that the server computes, else by reading it back."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from services.delivery.destinations.contract import Payload, Step
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.errors import told
from services.delivery.destinations.ftp.hashes import ServerHash
from services.delivery.destinations.ftp.words import Limits, Refused


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether it is the same, and what the server itself said of it."""

    same: bool
    reported: dict[str, str] = field(default_factory=dict)


async def content(client: Client, name: str) -> AsyncGenerator[bytes, None]:
    """The bytes of a file."""
    with told(Step.READ):
        transfer = await client.transfer(f"RETR {name}")
    try:
        while True:
            with told(Step.READ):
                block = await transfer.read()
            if not block:
                break
            yield block
        with told(Step.READ):
            await transfer.finish()
    finally:
        transfer.abort()


class Prover:
    """Compares contents.

    Args:
        hashes: the hash the server offers, if any.
    """

    def __init__(self, client: Client, hashes: ServerHash | None, limits: Limits) -> None:
        self._client = client
        self._hash = hashes
        self._limits = limits

    async def proof(self, name: str, payload: Payload) -> Proof:
        """Compare a file of the right size with the payload."""
        said = await self._asked(self._hash, name) if self._hash else None
        if self._hash is None or said is None:
            return Proof(await self._read_back(name) == payload.sha256)
        algorithm = self._hash.algorithm
        expected = payload.sha256 if algorithm == "sha256" else await self._source(payload, algorithm)
        return Proof(said == expected, {algorithm: said})

    async def _asked(self, known: ServerHash, name: str) -> str | None:
        """The server's hash; None when it cannot say it after all."""
        with told(Step.READ):
            try:
                if known.prepare:
                    await self._client.ask(known.prepare, "2xx")
                return known.found_in(await self._client.ask(f"{known.verb} {name}", "2xx", within=self._limits.work))
            except Refused as exc:
                if not exc.code.startswith("5"):
                    raise
                return None

    async def _read_back(self, name: str) -> str:
        digest = hashlib.sha256()
        async with aclosing(content(self._client, name)) as blocks:
            async for block in blocks:
                await asyncio.to_thread(digest.update, block)
        return digest.hexdigest()

    async def _source(self, payload: Payload, algorithm: str) -> str:
        """The source's own hash by another algorithm than the one we know; meanwhile the connection is kept awake."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        spoken = time.monotonic()
        async for chunk in payload.read(0):
            await asyncio.to_thread(digest.update, chunk)
            if time.monotonic() - spoken > self._limits.silence / 2:
                with told(Step.READ):
                    await self._client.ask("NOOP", "2xx")
                spoken = time.monotonic()
        return digest.hexdigest()
