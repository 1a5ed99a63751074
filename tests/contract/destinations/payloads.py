"""Files to send, and the notes that a delivery keeps between attempts."""

import hashlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache

from services.delivery.destinations.contract import Payload

MIB = 1024 * 1024
CHUNK = 256 * 1024


class MemoryNotes:
    """Notes in memory, which outlive an attempt but not the test."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        if value is None:
            self.kept.pop(name, None)
        else:
            self.kept[name] = value


@dataclass
class Seen:
    """The progress that an attempt reported."""

    progress: list[int] = field(default_factory=list)
    verified: int = 0

    def verifying(self) -> None:
        self.verified += 1


@cache
def some(size: int, seed: int = 1) -> bytes:
    """`size` bytes of noise, always the same for a seed."""
    return random.Random(seed).randbytes(size)


class File:
    """One file of one delivery, for any number of attempts.

    Args:
        broken_at: reading the source fails there; None: it never does.
    """

    def __init__(self, data: bytes, delivery_id: str = "5f0c8f1e-6f7f-5d5e-9c57-3d3f5b8f2a10") -> None:
        self.data = data
        self.delivery_id = delivery_id
        self.notes = MemoryNotes()
        self.broken_at: int | None = None

    def payload(self, seen: Seen | None = None, read: Callable[[int], AsyncIterator[bytes]] | None = None) -> Payload:
        """The payload for an attempt."""
        seen = seen or Seen()
        return Payload(
            delivery_id=self.delivery_id,
            size=len(self.data),
            sha256=hashlib.sha256(self.data).hexdigest(),
            media_type="text/csv",
            read=read or self._read,
            progress=seen.progress.append,
            verifying=seen.verifying,
            notes=self.notes,
        )

    async def _read(self, offset: int) -> AsyncIterator[bytes]:
        end = len(self.data) if self.broken_at is None else self.broken_at
        for start in range(offset, end, CHUNK):
            yield self.data[start : min(start + CHUNK, end)]
        if self.broken_at is not None:
            raise SourceBroken


class SourceBroken(Exception):
    """The artifact store failed."""
