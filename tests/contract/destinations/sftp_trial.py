"""A payload of given bytes that records calls, and sessions at an SFTP server."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from services.chassis.networks import parse_networks
from services.delivery.destinations.contract import Payload, Session
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.sftp.destination import Sftp, SftpConfig

LOOPBACK = Egress(Rules(allow=parse_networks("127.0.0.0/8")))
CHUNK = 300_000


class MemoryNotes:
    """Notes in memory."""

    def __init__(self, **kept: str) -> None:
        self.kept = kept

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        self.kept.pop(name, None)
        if value is not None:
            self.kept[name] = value


@dataclass
class Source:
    """A file to send, the same for all attempts."""

    data: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    offsets: list[int] = field(default_factory=list)
    """Offsets at which reading started."""
    reported: list[int] = field(default_factory=list)
    verified: int = 0
    sha256: str = ""
    """A hash other than the data's, for a file that changes in transit."""

    def payload(self) -> Payload:
        def verifying() -> None:
            self.verified += 1

        digest = self.sha256 or hashlib.sha256(self.data).hexdigest()
        reported, notes = self.reported.append, MemoryNotes()
        return Payload(self.id, len(self.data), digest, "text/csv", self._read, reported, verifying, notes)

    async def _read(self, offset: int) -> AsyncIterator[bytes]:
        self.offsets.append(offset)
        for start in range(offset, len(self.data), CHUNK):
            yield self.data[start : start + CHUNK]


def session(
    config: dict[str, Any], pins: MemoryNotes | None = None, silence: float = 10.0
) -> AbstractAsyncContextManager[Session]:
    """A session with this config."""
    destination = Sftp(Timeouts(connect=5.0, silence=silence))
    return destination.open(SftpConfig.model_validate(config), LOOPBACK, pins or MemoryNotes())
