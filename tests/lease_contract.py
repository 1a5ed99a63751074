"""What leased work promises with any store: subclasses give it a store and run the same tests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.chassis.faults import AttemptError, ErrorInfo, Unavailable
from services.chassis.leasing import leased_work
from services.chassis.leasing.leased_work import LeasedWork
from services.chassis.leasing.leases import Claim, LeaseLost, LeaseMetrics, LeaseStore, Outcome

FULL = AttemptError("disk_full", "The disk is full.", transient=True)
REFUSED = AttemptError("refused", "Wrong password.", transient=False)


@dataclass(frozen=True)
class Stored:
    """The work as its store holds it; `state` is due, running, waiting, completed or failed."""

    state: str
    attempt: int
    error_code: str


class Bench(Protocol):
    """One piece of work in a store."""

    progress: Any
    result: Any

    @property
    def store(self) -> LeaseStore[Any, Any, Any]:
        """Where it is."""

    async def claim(self, max_attempts: int = 3) -> Claim[Any]:
        """Add the work and claim it."""

    async def claim_elsewhere(self) -> None:
        """Let another process claim the work."""

    async def stored(self) -> Stored:
        """The work now."""


class FakeWork:
    """Work that does what the test says."""

    def __init__(self, bench: Bench, do: Callable[[], Awaitable[Any]]) -> None:
        self.progress = bench.progress
        self.started = asyncio.Event()
        self.was_stopped = False
        self.counted: list[Any] = []
        self.discarded: list[Any] = []
        self._do = do

    async def run(self) -> Any:
        self.started.set()
        try:
            return await self._do()
        except asyncio.CancelledError:
            self.was_stopped = True
            raise

    def completed(self, result: Any, seconds: float) -> Mapping[str, int]:
        assert seconds >= 0
        self.counted.append(result)
        return {"bytes": 7}

    async def discard(self, result: Any) -> None:
        self.discarded.append(result)


class FailingStore:
    """A store that fails the first `times` calls of one method."""

    def __init__(self, store: LeaseStore[Any, Any, Any], method: str, error: Exception, times: int) -> None:
        self._store = store
        self._method = method
        self._error = error
        self.left = times

    def __getattr__(self, name: str) -> Any:
        if name != self._method or self.left == 0:
            return getattr(self._store, name)
        self.left -= 1

        async def fail(*_: object) -> bool:
            raise self._error

        return fail


class HangingStore:
    """A store whose heartbeats are never answered."""

    def __init__(self, store: LeaseStore[Any, Any, Any]) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def heartbeat(self, *_: object) -> bool:
        await forever()
        return True


class Lab:
    """Leased work on a bench, with metrics of its own."""

    def __init__(
        self,
        bench: Bench,
        store: Any = None,
        *,
        lease: float = 60.0,
        heartbeat: float = 0.02,
        first_retry: float = 60.0,
        grace: float = 0.0,
    ) -> None:
        self.bench = bench
        self.registry = CollectorRegistry()
        self.leased = LeasedWork[Any, Any, Any](
            store or bench.store,
            _metrics(self.registry),
            lease=lease,
            heartbeat=heartbeat,
            first_retry=first_retry,
            max_retry=600.0,
            grace=grace,
        )

    async def outcome(self, do: Callable[[], Awaitable[Any]], max_attempts: int = 3) -> tuple[Outcome, FakeWork]:
        """Run one attempt to its end."""
        work = FakeWork(self.bench, do)
        async with asyncio.timeout(20):
            outcome = await self.leased.run(await self.bench.claim(max_attempts), work)
        assert self.counted("running") == 0
        return outcome, work

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 when it does not exist."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def attempts(self) -> dict[str, float]:
        """Attempts that ended, by outcome."""
        return self._by("attempts_total", "outcome")

    def lost(self) -> dict[str, float]:
        """Leases lost, by reason."""
        return self._by("lost_total", "reason")

    def failures(self) -> dict[str, float]:
        """Failures, by code."""
        return self._by("failures_total", "code")

    def _by(self, name: str, label: str) -> dict[str, float]:
        return {
            sample.labels[label]: sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name and sample.value
        }


def _metrics(registry: CollectorRegistry) -> LeaseMetrics:
    return LeaseMetrics(
        running=Gauge("running", "Running.", registry=registry),
        claims=Counter("claims_total", "Claims.", ["kind"], registry=registry),
        lost=Counter("lost_total", "Lost.", ["reason"], registry=registry),
        attempts=Counter("attempts_total", "Attempts.", ["label", "outcome"], registry=registry),
        failures=Counter("failures_total", "Failures.", ["label", "code"], registry=registry),
    )


async def forever() -> None:
    """Work that only ends when it is stopped."""
    await asyncio.Event().wait()


class LeasedWorkContract:
    """The tests; a subclass defines the fixture `bench`."""

    async def test_a_result_is_stored_and_counted(self, bench: Bench) -> None:
        lab = Lab(bench)

        async def do() -> Any:
            assert lab.counted("running") == 1
            return bench.result

        outcome, work = await lab.outcome(do)
        assert (outcome, await bench.stored()) == (Outcome.COMPLETED, Stored("completed", 1, ""))
        assert (work.counted, work.discarded) == ([bench.result], [])
        assert (lab.attempts(), lab.failures(), lab.lost()) == ({"completed": 1}, {}, {})
        assert lab.counted("claims_total", kind="first") == 1

    async def test_work_is_stopped_when_its_lease_is_lost(self, bench: Bench) -> None:
        lab = Lab(bench)

        async def do() -> None:
            await bench.claim_elsewhere()
            await forever()

        outcome, work = await lab.outcome(do)
        assert (outcome, work.was_stopped, work.counted) == (Outcome.FENCED, True, [])
        assert (lab.attempts(), lab.lost()) == ({"fenced": 1}, {"gone": 1})
        assert (await bench.stored()).state == "running"

    async def test_work_is_stopped_when_every_heartbeat_fails_for_a_whole_lease(self, bench: Bench) -> None:
        store = FailingStore(bench.store, "heartbeat", RuntimeError("a defect"), times=1_000)
        lab = Lab(bench, store, lease=0.3)
        outcome, work = await lab.outcome(forever)
        assert (outcome, work.was_stopped) == (Outcome.FENCED, True)
        assert (lab.attempts(), lab.lost()) == ({"fenced": 1}, {"unrenewed": 1})
        assert store.left < 1_000 - 2

    async def test_work_is_stopped_when_a_heartbeat_hangs_for_longer_than_the_lease(self, bench: Bench) -> None:
        lab = Lab(bench, HangingStore(bench.store), lease=0.3)
        outcome, work = await lab.outcome(forever)
        assert (outcome, work.was_stopped) == (Outcome.FENCED, True)
        assert lab.lost() == {"unrenewed": 1}

    async def test_a_few_failed_heartbeats_do_not_lose_the_lease(self, bench: Bench) -> None:
        store = FailingStore(bench.store, "heartbeat", RuntimeError("a defect"), times=2)

        async def do() -> Any:
            while store.left:
                await asyncio.sleep(0.01)
            return bench.result

        outcome, _ = await Lab(bench, store).outcome(do)
        assert outcome is Outcome.COMPLETED

    async def test_within_its_grace_work_survives_an_outage_longer_than_the_lease(self, bench: Bench) -> None:
        store = FailingStore(bench.store, "heartbeat", RuntimeError("away"), times=20)
        lab = Lab(bench, store, lease=0.1, grace=60.0)

        async def do() -> Any:
            while store.left:
                await asyncio.sleep(0.01)
            return bench.result

        assert (await lab.outcome(do))[0] is Outcome.COMPLETED
        assert lab.lost() == {}

    async def test_work_is_given_back_when_the_process_shuts_down(self, bench: Bench) -> None:
        lab = Lab(bench)

        async def do() -> None:
            closing.append(asyncio.create_task(lab.leased.shut_down()))
            await forever()

        closing: list[asyncio.Task[None]] = []
        outcome, work = await lab.outcome(do)
        await closing[0]
        assert (outcome, work.was_stopped) == (Outcome.GIVEN_BACK, True)
        assert await bench.stored() == Stored("due", 0, "")
        assert (lab.attempts(), lab.failures(), lab.lost()) == ({"given_back": 1}, {}, {})

    async def test_work_that_was_lost_is_not_given_back(self, bench: Bench) -> None:
        lab = Lab(bench, heartbeat=20.0)

        async def do() -> None:
            await bench.claim_elsewhere()
            await lab.leased.shut_down()
            await forever()

        outcome, _ = await lab.outcome(do)
        assert (outcome, lab.attempts()) == (Outcome.FENCED, {"fenced": 1})
        assert (await bench.stored()).state == "running"

    async def test_work_that_finishes_although_it_was_stopped_is_completed(self, bench: Bench) -> None:
        lab = Lab(bench)

        async def do() -> Any:
            await lab.leased.shut_down()
            try:
                await forever()
            except asyncio.CancelledError:
                return bench.result

        outcome, _ = await lab.outcome(do)
        assert (outcome, (await bench.stored()).state) == (Outcome.COMPLETED, "completed")

    async def test_work_that_does_not_stop_is_left_behind_and_given_back(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leased_work, "STOP_SECONDS", 0.1)
        lab, end = Lab(bench), asyncio.Event()

        async def do() -> None:
            await lab.leased.shut_down()
            hanging = asyncio.create_task(end.wait())
            while not hanging.done():
                try:
                    await asyncio.shield(hanging)
                except asyncio.CancelledError:
                    continue

        outcome, _ = await lab.outcome(do)
        end.set()
        assert (outcome, await bench.stored()) == (Outcome.GIVEN_BACK, Stored("due", 0, ""))

    async def test_a_transient_error_is_retried_after_a_delay(self, bench: Bench) -> None:
        lab = Lab(bench)
        outcome, _ = await lab.outcome(_raising(FULL))
        assert (outcome, await bench.stored()) == (Outcome.RETRIED, Stored("waiting", 1, "disk_full"))
        assert (lab.attempts(), lab.failures()) == ({"retried": 1}, {})

    async def test_a_transient_error_of_the_last_attempt_fails_the_work(self, bench: Bench) -> None:
        lab = Lab(bench)
        outcome, _ = await lab.outcome(_raising(FULL), max_attempts=1)
        assert (outcome, await bench.stored()) == (Outcome.FAILED, Stored("failed", 1, "disk_full"))
        assert (lab.attempts(), lab.failures()) == ({"failed": 1}, {"disk_full": 1})

    async def test_a_permanent_error_fails_the_work_without_another_attempt(self, bench: Bench) -> None:
        lab = Lab(bench)
        outcome, _ = await lab.outcome(_raising(REFUSED))
        assert (outcome, await bench.stored()) == (Outcome.FAILED, Stored("failed", 1, "refused"))
        assert (lab.attempts(), lab.failures()) == ({"failed": 1}, {"refused": 1})

    @pytest.mark.parametrize(("max_attempts", "outcome"), [(2, Outcome.RETRIED), (1, Outcome.FAILED)])
    async def test_an_unexpected_exception_is_an_internal_error(
        self, bench: Bench, max_attempts: int, outcome: Outcome
    ) -> None:
        lab = Lab(bench)
        ended, _ = await lab.outcome(_raising(ZeroDivisionError("a secret")), max_attempts)
        stored = await bench.stored()
        assert (ended, stored.error_code) == (outcome, "internal_error")
        assert stored.state == ("failed" if outcome is Outcome.FAILED else "waiting")

    @pytest.mark.parametrize("error", [FULL, REFUSED])
    async def test_an_error_after_the_lease_was_lost_changes_nothing(self, bench: Bench, error: AttemptError) -> None:
        lab = Lab(bench, heartbeat=20.0)

        async def do() -> None:
            await bench.claim_elsewhere()
            raise error

        outcome, _ = await lab.outcome(do)
        assert (outcome, lab.attempts(), lab.failures()) == (Outcome.FENCED, {"fenced": 1}, {})
        assert (await bench.stored()).state == "running"

    async def test_a_result_after_the_lease_was_lost_is_discarded(self, bench: Bench) -> None:
        lab = Lab(bench, heartbeat=20.0)

        async def do() -> Any:
            await bench.claim_elsewhere()
            return bench.result

        outcome, work = await lab.outcome(do)
        assert (outcome, work.discarded, work.counted) == (Outcome.FENCED, [bench.result], [])
        assert (await bench.stored()).state == "running"

    async def test_work_that_finds_its_lease_lost_ends_as_fenced(self, bench: Bench) -> None:
        lab = Lab(bench)
        outcome, _ = await lab.outcome(_raising(LeaseLost()))
        assert (outcome, lab.attempts(), lab.lost()) == (Outcome.FENCED, {"fenced": 1}, {"gone": 1})

    async def test_a_database_that_does_not_answer_leaves_the_work_to_its_lease(self, bench: Bench) -> None:
        away = Unavailable("database_unavailable", "The database does not answer.")
        lab = Lab(bench, FailingStore(bench.store, "complete", away, times=1))

        async def do() -> Any:
            return bench.result

        with pytest.raises(Unavailable):
            await lab.outcome(do)
        assert (lab.counted("running"), lab.attempts()) == (0, {})
        assert await bench.stored() == Stored("running", 1, "")

    async def test_a_shutdown_waits_for_claims_that_are_on_their_way_and_gives_them_back(self, bench: Bench) -> None:
        lab, answered, handled = Lab(bench), asyncio.Event(), list[Outcome]()

        async def handle() -> None:
            claim = await bench.claim()
            await answered.wait()
            handled.append(await lab.leased.run(claim, FakeWork(bench, forever)))

        lab.leased.start(handle())
        closing = asyncio.create_task(lab.leased.shut_down())
        while not lab.leased.is_shutting_down:
            await asyncio.sleep(0)
        answered.set()
        await closing
        assert (handled, await bench.stored()) == ([Outcome.GIVEN_BACK], Stored("due", 0, ""))
        lab.leased.reopen()
        assert not lab.leased.is_shutting_down


def _raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        raise error

    return do


def error_code(error: ErrorInfo | None) -> str:
    """The code, or an empty text."""
    return error.code if error is not None else ""
