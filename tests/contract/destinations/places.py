"""What the suite does at a destination: attempts as a delivery makes them, and a reader that looks all the time."""

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from services.delivery.destinations.contract import Destination, RemoteFile, Session
from services.delivery.destinations.egress import Egress, Rules, parse_networks
from tests.contract.destinations.payloads import File, MemoryNotes, Seen
from tests.contract.destinations.rigs import Line, Rig

LOOPBACK = Egress(Rules(allow=parse_networks("127.0.0.0/8")))
PATIENT = 20.0
"""Seconds of silence that a busy machine may need."""


class Place:
    """A rig, the way to it, and what a platform remembers of it."""

    def __init__(self, rig: Rig, line: Line) -> None:
        self.rig = rig
        self.line = line
        self.faults = line.faults
        self.pins = MemoryNotes()
        self.destination: Destination = rig.destination(PATIENT)

    @asynccontextmanager
    async def session(
        self, config: Mapping[str, Any] | None = None, egress: Egress = LOOPBACK
    ) -> AsyncIterator[Session]:
        """A session, by the way that can be broken unless a config says otherwise."""
        checked = self.destination.Config.model_validate(self.line.config if config is None else config)
        async with self.destination.open(checked, egress, self.pins) as session:
            yield session

    async def send(self, name: str, file: File, *, replace: bool = True, seen: Seen | None = None) -> RemoteFile:
        """A first attempt."""
        async with self.session() as session:
            return await session.send(name, file.payload(seen), replace=replace)

    async def deliver(self, name: str, file: File) -> RemoteFile:
        """A later attempt: it looks first whether an earlier one did it."""
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
    """Fails when a reader that looks all the time sees under the name anything but nothing or one of these contents."""
    wrong: list[str] = []
    ended, looked = threading.Event(), threading.Event()

    def look() -> None:
        while not ended.is_set() and not wrong:
            try:
                seen = rig.files().get(name)
            except FileNotFoundError:  # renamed between the listing and the reading
                continue
            if seen is not None and seen not in allowed:
                wrong.append(f"{len(seen)} bytes, where {[len(content) for content in allowed]} are whole files")
            looked.set()
            ended.wait(0.005)

    reader = threading.Thread(target=look, name="reader")
    reader.start()
    try:
        looked.wait(10)
        yield
    finally:
        ended.set()
        reader.join()
    assert looked.is_set(), "the reader could not look"
    assert not wrong, wrong[0]
