"""A server that accepts every byte just in time cannot hold a delivery slot for ever."""

import asyncio

import pytest

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.kit import timeouts
from services.delivery.destinations.kit.timeouts import attempt_deadline


async def test_an_attempt_that_is_too_slow_ends_and_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "BASE_SECONDS", 0.1)
    with pytest.raises(DestinationError) as caught:
        async with attempt_deadline(1024):
            for _ in range(10_000):
                async with asyncio.timeout(30):  # the limit of each block is kept
                    await asyncio.sleep(0.01)
    assert (caught.value.step, caught.value.code, caught.value.transient) == (Step.WRITE, "too_slow", True)


async def test_a_larger_file_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "BASE_SECONDS", 0.0)
    async with attempt_deadline(1024 * 1024 * 1024):
        await asyncio.sleep(0.05)


async def test_a_timeout_inside_is_not_taken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="the store is unavailable"):
        async with attempt_deadline(1):
            raise TimeoutError("the store is unavailable")
