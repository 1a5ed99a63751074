"""Leased work against a store in memory, and the delays between attempts."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.chassis.faults import ErrorInfo, Unavailable
from services.chassis.leasing import leased_work
from services.chassis.leasing.leases import Claim, Outcome, delay
from tests.lease_contract import FULL, Lab, LeasedWorkContract, Stored, error_code


@dataclass
class MemoryStore:
    """One piece of work; a lease is its fence."""

    state: str = "due"
    fence: int = 0
    attempt: int = 0
    error: ErrorInfo | None = None
    progress: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    async def heartbeat(self, lease: int, progress: str, seconds: float) -> bool:
        if self._holds(lease):
            self.progress.append(progress)
        return self._holds(lease)

    async def complete(self, lease: int, result: str) -> bool:
        return self._change(lease, "completed")

    async def fail(self, lease: int, error: ErrorInfo) -> bool:
        return self._change(lease, "failed", error)

    async def wait_for_retry(self, lease: int, error: ErrorInfo, delay: float) -> bool:
        self.delays.append(delay)
        return self._change(lease, "waiting", error)

    async def give_back(self, lease: int) -> bool:
        given_back = self._change(lease, "due")
        self.attempt -= given_back
        return given_back

    def _holds(self, lease: int) -> bool:
        return self.state == "running" and lease == self.fence

    def _change(self, lease: int, state: str, error: ErrorInfo | None = None) -> bool:
        if not self._holds(lease):
            return False
        self.state, self.error = state, error
        return True


class MemoryBench:
    """Work in memory."""

    progress = "half"
    result = "a file"

    def __init__(self) -> None:
        self.store = MemoryStore()

    async def claim(self, max_attempts: int = 3) -> Claim[int]:
        store = self.store
        store.state, store.fence, store.attempt = "running", store.fence + 1, store.attempt + 1
        return Claim(store.fence, "csv", store.attempt, max_attempts, False, "work", "", {})

    async def claim_elsewhere(self) -> None:
        self.store.fence += 1

    async def stored(self) -> Stored:
        return Stored(self.store.state, self.store.attempt, error_code(self.store.error))


@pytest.fixture
def bench() -> MemoryBench:
    return MemoryBench()


class TestInMemory(LeasedWorkContract):
    """The contract with a store in memory."""


async def test_heartbeats_report_the_progress(bench: MemoryBench) -> None:
    async def do() -> str:
        while len(bench.store.progress) < 3:
            await asyncio.sleep(0.01)
        return "a file"

    assert (await Lab(bench).outcome(do))[0] is Outcome.COMPLETED
    assert set(bench.store.progress) == {"half"}


async def test_the_delay_of_a_retry_doubles_from_the_first(bench: MemoryBench) -> None:
    async def fail() -> None:
        raise FULL

    lab = Lab(bench, first_retry=10.0)
    for _ in range(2):
        await lab.outcome(fail)
    first, second = bench.store.delays
    assert 5 <= first <= 10 <= second <= 20


async def test_the_end_of_an_attempt_is_logged_with_its_outcome_and_result(bench: MemoryBench) -> None:
    async def do() -> str:
        return "a file"

    with capture_logs() as log:
        await Lab(bench).outcome(do)
    [ended] = [line for line in log if line["event"] == "attempt_ended"]
    assert (ended["outcome"], ended["bytes"]) == ("completed", 7)


@pytest.mark.parametrize(
    ("error", "event"),
    [(Unavailable("away", "Away."), "work_interrupted"), (KeyError("a defect"), "work_failed")],
)
async def test_an_exception_that_escapes_from_a_handler_is_logged(
    bench: MemoryBench, error: Exception, event: str
) -> None:
    async def handle() -> None:
        raise error

    with capture_logs() as log:
        await Lab(bench).leased.start(handle())
    assert [line["event"] for line in log] == [event]


async def test_a_shutdown_ends_although_a_handler_hangs(bench: MemoryBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased_work, "SHUTDOWN_SECONDS", 0.05)
    lab = Lab(bench)
    hanging = lab.leased.track(asyncio.create_task(asyncio.sleep(60)))
    async with asyncio.timeout(10):
        await lab.leased.shut_down()
    assert not hanging.done()
    hanging.cancel()


def test_work_that_was_given_up_counts_as_a_failure(bench: MemoryBench) -> None:
    lab = Lab(bench)
    lab.leased.gave_up("csv")
    assert lab.failures() == {"attempts_exhausted": 1}


@pytest.mark.parametrize(
    ("attempt", "is_takeover", "kind"), [(1, False, "first"), (2, False, "retry"), (2, True, "takeover")]
)
def test_a_claim_is_the_first_one_a_retry_or_a_takeover(attempt: int, is_takeover: bool, kind: str) -> None:
    assert Claim(1, "csv", attempt, 3, is_takeover, "work", "", {}).kind == kind


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(0, 1))
def test_delays_grow_up_to_a_limit_and_are_never_zero(attempt: int, first: float, random: float) -> None:
    assert first / 2 <= delay(attempt, first=first, longest=300.0, random=random) <= 300.0
    now = delay(attempt, first=first, longest=300.0, random=1.0)
    assert now <= delay(attempt + 1, first=first, longest=300.0, random=1.0)


def test_the_first_delays_double() -> None:
    assert [delay(n, first=2.0, longest=60.0, random=1.0) for n in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]
