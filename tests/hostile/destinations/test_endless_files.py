"""What is read back from a destination is limited by the size of the file that was written."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.delivery.destinations.contract import RemoteFile, Step
from services.delivery.platforms.probe import probe
from services.delivery.platforms.targets import Target
from tests.contract.destinations.ftp_trial import failure
from tests.contract.destinations.payloads import File, some
from tests.contract.destinations.rigs.ftp import FtpRig
from tests.contract.destinations.targets import LOOPBACK

MAX_CHUNKS = 1_000


class EndlessSession:
    """Accepts every file, and returns one that never ends."""

    def __init__(self) -> None:
        self.chunks = 0

    async def send(self, name: str, payload: object, *, replace: bool) -> RemoteFile:
        return RemoteFile(name, 0)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        while self.chunks < MAX_CHUNKS:
            self.chunks += 1
            yield b"x" * 1024

    async def tidy(self, name: str, payload: object) -> None: ...

    async def remove(self, name: str) -> None: ...


async def test_the_test_of_a_platform_reads_no_more_than_it_wrote() -> None:
    session = EndlessSession()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[EndlessSession]:
        yield session

    destination = SimpleNamespace(address=lambda _: ("127.0.0.1", 1), open=opened)
    target = SimpleNamespace(destination=destination, config=None, egress=LOOPBACK, pins=None)
    results = await probe(cast("Target", cast("Any", target)))
    assert (results[-1].step, results[-1].code) == (Step.READ, "content_changed")
    assert session.chunks < 100


class EndlessFile:
    """A file that never ends."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def read(self, size: int) -> bytes:
        return b"x" * size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


@pytest.fixture
def ftp() -> Iterator[FtpRig]:
    rig = FtpRig()
    rig.start()
    yield rig
    rig.stop()


async def test_an_endless_file_of_an_ftp_server_is_not_read_to_its_end(ftp: FtpRig) -> None:
    class Disk(ftp.handler.abstracted_fs):  # type: ignore[misc,name-defined]
        def open(self, filename: str, mode: str) -> Any:
            opened = super().open(filename, mode)
            return EndlessFile(opened) if mode.startswith("r") else opened

    ftp.handler.abstracted_fs = Disk
    ftp.handler.use_sendfile = False
    async with asyncio.timeout(20):
        error = await failure(ftp.config(), File(some(100_000)))
    assert error.code == "content_mismatch"
