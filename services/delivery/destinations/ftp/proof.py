"""Whether a file on an FTP server is the payload: by a hash that the server computes, else by reading it back.

There are two families of commands: HASH (draft-ietf-ftpext2-hash), and the older XSHA256, XSHA1, XMD5 and the like.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from services.delivery.destinations.contract import Payload, Step
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.errors import Refused, translate_errors
from services.delivery.destinations.kit.blocks import at_most, hexdigest
from services.delivery.destinations.kit.timeouts import Timeouts

_STRONGEST_FIRST = (("sha256", "SHA-256"), ("sha512", "SHA-512"), ("sha1", "SHA-1"), ("md5", "MD5"))
_DIGITS = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32}


@dataclass(frozen=True, slots=True)
class ServerHash:
    """A hash by hashlib's name, and how to ask for it: `prepare` first, if set, then `verb` with a file name."""

    algorithm: str
    verb: str
    prepare: str = ""

    def found_in(self, answer: Sequence[str]) -> str | None:
        """The hash in an answer, in lower case."""
        pattern = rf"(?<![0-9a-z])[0-9a-f]{{{_DIGITS[self.algorithm]}}}(?![0-9a-z])"
        found = re.search(pattern, " ".join(answer), re.IGNORECASE)
        return found[0].lower() if found else None


def offered(features: Sequence[str]) -> ServerHash | None:
    """The best hash among the lines of an answer to FEAT; SHA-256 first, since the payload's is known."""
    words = [feature.strip().upper().split(None, 1) for feature in features]
    verbs = {word[0] for word in words if word}
    named = {name.rstrip("*") for word in words if word[:1] == ["HASH"] and word[1:] for name in word[1].split(";")}
    for algorithm, name in _STRONGEST_FIRST:
        if name in named:
            return ServerHash(algorithm, "HASH", prepare=f"OPTS HASH {name}")
        if f"X{algorithm.upper()}" in verbs:
            return ServerHash(algorithm, f"X{algorithm.upper()}")
    return None


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the content is the same, and the hash that the server reported."""

    same: bool
    reported: dict[str, str] = field(default_factory=dict)


async def content(client: Client, name: str) -> AsyncGenerator[bytes, None]:
    """The bytes of a file."""
    with translate_errors(Step.READ):
        transfer = await client.transfer(f"RETR {name}")
    try:
        while True:
            with translate_errors(Step.READ):
                block = await transfer.read()
            if not block:
                break
            yield block
        with translate_errors(Step.READ):
            await transfer.finish()
    finally:
        transfer.abort()


class Prover:
    """Compares contents.

    Args:
        hashes: the hash that the server offers, if any.
    """

    def __init__(self, client: Client, hashes: ServerHash | None, timeouts: Timeouts) -> None:
        self._client = client
        self._hash = hashes
        self._timeouts = timeouts

    async def proof(self, name: str, payload: Payload) -> Proof:
        """Compare a file of the right size with the payload."""
        reported = await self._ask_hash(self._hash, name) if self._hash else None
        if self._hash is None or reported is None:
            return Proof(await self._read_back(name, payload.size) == payload.sha256)
        algorithm = self._hash.algorithm
        expected = payload.sha256 if algorithm == "sha256" else await self._source_hash(payload, algorithm)
        return Proof(reported == expected, {algorithm: reported})

    async def _ask_hash(self, known: ServerHash, name: str) -> str | None:
        """The server's hash; None if it cannot give one after all."""
        with translate_errors(Step.READ):
            try:
                if known.prepare:
                    await self._client.ask(known.prepare, "2xx")
                answer = await self._client.ask(f"{known.verb} {name}", "2xx", timeout=self._timeouts.work)
            except Refused as exc:
                if not exc.code.startswith("5"):
                    raise
                return None
        return known.found_in(answer)

    async def _read_back(self, name: str, size: int) -> str:
        async with aclosing(at_most(content(self._client, name), size)) as blocks:
            return await hexdigest(blocks, hashlib.sha256())

    async def _source_hash(self, payload: Payload, algorithm: str) -> str:
        """The payload's hash by another algorithm; meanwhile NOOP keeps the connection open."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        last_command = time.monotonic()
        async for chunk in payload.read(0):
            await asyncio.to_thread(digest.update, chunk)
            if time.monotonic() - last_command > self._timeouts.silence / 2:
                with translate_errors(Step.READ):
                    await self._client.ask("NOOP", "2xx")
                last_command = time.monotonic()
        return digest.hexdigest()
