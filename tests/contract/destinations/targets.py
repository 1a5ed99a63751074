"""What the suite does at a target: attempts as a delivery makes them, and a reader that watches a file all the time."""

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from services.chassis.networks import parse_networks
from services.delivery.destinations.contract import Destination, RemoteFile, Session
from services.delivery.destinations.egress import Egress, Rules
from tests.contract.destinations.payloads import MIB, File, MemoryNotes, Seen, some
from tests.contract.destinations.rigs import Line, Rig

LOOPBACK = Egress(Rules(allow=parse_networks("127.0.0.0/8")))
SILENCE_SECONDS = 20.0
"""Long enough for a busy machine."""


class Target:
    """A rig, the route to it, and what a platform keeps about it."""

    def __init__(self, rig: Rig, line: Line) -> None:
        self.rig = rig
        self.line = line
        self.faults = line.faults
        self.pins = MemoryNotes()
        self.destination: Destination = rig.destination(SILENCE_SECONDS)
        whole = rig.scale * MIB
        self.old, self.new, self.large = some(whole, seed=1), some(whole + 12_345, seed=2), some(4 * whole, seed=3)
        """Contents of files, each in several parts."""
        self.broken_at = whole - 200_000
        """Where the source of `new` fails; parts have been sent then."""

    @asynccontextmanager
    async def session(
        self, config: Mapping[str, Any] | None = None, egress: Egress = LOOPBACK
    ) -> AsyncIterator[Session]:
        """A session through the route that can be broken, unless a config is given."""
        checked = self.destination.Config.model_validate(self.line.config if config is None else config)
        async with self.destination.open(checked, egress, self.pins) as session:
            yield session

    async def send(self, name: str, file: File, *, replace: bool = True, seen: Seen | None = None) -> RemoteFile:
        """A first attempt."""
        async with self.session() as session:
            return await session.send(name, file.payload(seen), replace=replace)

    async def deliver(self, name: str, file: File) -> RemoteFile:
        """A later attempt: first it checks whether an earlier one delivered the file."""
        async with self.session() as session:
            found = await session.find(name)
            if found is not None and await session.matches(found, file.payload()):
                return found
            return await session.send(name, file.payload(), replace=True)

    async def tidy(self, name: str, file: File) -> None:
        """What a delivery does when it gives up."""
        async with self.session() as session:
            await session.tidy(name, file.payload())


@contextmanager
def watched(rig: Rig, name: str, *allowed: bytes) -> Iterator[None]:
    """Fails if a reader that reads all the time sees anything under the name but one of these contents, or nothing."""
    wrong: list[str] = []
    ended, looked = threading.Event(), threading.Event()

    def look() -> None:
        while not ended.is_set() and not wrong:
            try:
                seen = rig.files().get(name)
            except FileNotFoundError:  # renamed between the listing and the reading
                continue
            except Exception as exc:
                wrong.append(f"the reader failed: {exc!r}")
                break
            if seen is not None and seen not in allowed:
                wrong.append(f"{len(seen)} bytes, where {[len(content) for content in allowed]} are whole files")
            looked.set()
            ended.wait(0.02)

    reader = threading.Thread(target=look, name="reader")
    reader.start()
    try:
        looked.wait(10)
        yield
    finally:
        ended.set()
        reader.join()
    assert looked.is_set(), "the reader read nothing"
    assert not wrong, wrong[0]
