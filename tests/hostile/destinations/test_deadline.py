"""A server that accepts every byte just in time cannot hold a delivery slot for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.delivery.deliveries.attempt import Attempt
from services.delivery.deliveries.delivery import Delivery, DeliveryState, File, Progress
from services.delivery.deliveries.store import Lease
from services.delivery.destinations.contract import DestinationConfig, DestinationError, Payload, RemoteFile, Step
from services.delivery.destinations.kit import timeouts
from services.delivery.destinations.kit.timeouts import attempt_deadline
from services.delivery.platforms.kept_sessions import KeptSessions
from services.delivery.platforms.targets import Target
from tests.contract.destinations.payloads import MemoryNotes
from tests.contract.destinations.targets import LOOPBACK

NOW = datetime.now(UTC)
FILE = File("acme/job/1/export.csv", "products.csv", "csv", "text/csv", 1024, "0" * 64, "csv", "", NOW)


class SlowSession:
    """Accepts a byte now and then, so that no single wait is long."""

    def __init__(self) -> None:
        self.tidied = False

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        for sent in range(10_000):
            async with asyncio.timeout(30):
                await asyncio.sleep(0.01)
            payload.progress(sent)
        raise AssertionError("nothing ended the attempt")

    async def tidy(self, name: str, payload: Payload) -> None:
        self.tidied = True


async def test_an_attempt_that_is_too_slow_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "BASE_SECONDS", 0.1)
    session = SlowSession()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[SlowSession]:
        yield session

    async def settle_name(*_: object) -> bool:
        return True

    delivery = Delivery("1", "acme", "2", "3", "Shop", "sftp", FILE, DeliveryState.SENDING, NOW, NOW, attempt=1)
    slow = cast("Any", SimpleNamespace(open=opened, name="slow"))
    target = Target("3", 1, slow, DestinationConfig(), LOOPBACK, MemoryNotes())
    store, blobs = cast("Any", SimpleNamespace(settle_name=settle_name)), cast("Any", None)
    attempt = Attempt(Lease(delivery), target, KeptSessions(), store, blobs, MemoryNotes(), Progress())
    with pytest.raises(DestinationError) as caught:
        await attempt.run()
    assert (caught.value.step, caught.value.code, caught.value.transient) == (Step.WRITE, "too_slow", True)
    assert session.tidied  # it was the last attempt


async def test_a_larger_file_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "BASE_SECONDS", 0.0)
    async with attempt_deadline(1024 * 1024 * 1024):
        await asyncio.sleep(0.05)


async def test_a_timeout_inside_is_not_taken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="the store is unavailable"):
        async with attempt_deadline(1):
            raise TimeoutError("the store is unavailable")
