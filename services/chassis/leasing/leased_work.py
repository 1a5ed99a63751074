"""Runs claimed work under a lease, the same way for every worker.

The work runs beside a heartbeat that renews its lease. It is stopped when the lease is lost or the process shuts down.
How it ended is stored with one compare-and-set on the lease, counted, logged and noted on the attempt's span.
"""

import asyncio
import random
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic

import structlog

from services.chassis.faults import AttemptError, ErrorInfo, Unavailable
from services.chassis.leasing.leases import (
    ATTEMPTS_EXHAUSTED,
    INTERNAL_ERROR,
    Claim,
    LeaseLost,
    LeaseMetrics,
    LeaseStore,
    LeaseT,
    Outcome,
    ProgressT,
    ResultT,
    Work,
    delay,
)
from services.chassis.telemetry import tracing

log = structlog.get_logger()

SHUTDOWN_SECONDS = 10.0
"""For all running work to be given back when the process shuts down."""
STOP_SECONDS = 5.0
"""For one attempt to end after it was stopped; an attempt that takes longer is left behind."""


@dataclass(slots=True)
class LeasedWork(Generic[LeaseT, ProgressT, ResultT]):
    """Runs claimed work.

    Args:
        lease: seconds a lease lasts after a heartbeat.
        grace: seconds for which the work goes on after that, while no heartbeat is answered. The database is then
            likely to be away for everybody; if another process has claimed the work all the same, its result is
            refused.
        heartbeat: seconds between two heartbeats; at most a third of the lease is used.
        first_retry, max_retry: seconds before the second attempt, doubling, and at most.
    """

    store: LeaseStore[LeaseT, ProgressT, ResultT]
    metrics: LeaseMetrics
    lease: float
    heartbeat: float
    first_retry: float
    max_retry: float
    grace: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _shutting_down: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_shutting_down(self) -> bool:
        """Whether nothing new should be claimed."""
        return self._shutting_down.is_set()

    def reopen(self) -> None:
        """Accept work, also after a shutdown."""
        self._shutting_down.clear()

    def start(self, handling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Handle a claim in a task that `shut_down` waits for; exceptions that escape from it are logged."""
        return self.track(asyncio.create_task(_logged(handling)))

    def track(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Let `shut_down` wait for this task too."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def shut_down(self) -> None:
        """Stop running work and give it back.

        Tasks are not cancelled: a claim or a commit on its way to the database must be followed to its end.
        """
        self._shutting_down.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                while self._tasks:
                    await asyncio.wait(self._tasks)

    async def run(self, claim: Claim[LeaseT], work: Work[ProgressT, ResultT]) -> Outcome:
        """Run the work until it ends or is stopped, and store how it ended.

        Raises:
            Unavailable: the database did not answer; the lease runs out, and the work is claimed again.
        """
        metrics, started = self.metrics, time.monotonic()
        metrics.claims.labels(claim.kind).inc()
        metrics.running.inc()
        parent = tracing.from_text(claim.traceparent)
        try:
            with tracing.span(claim.span, kind=claim.span_kind, parent=parent, attributes=claim.attributes):
                log.info("work_claimed", action="work", attempt=claim.attempt, kind=claim.kind)
                outcome, facts = await self._outcome(claim, work)
                metrics.attempts.labels(claim.label, outcome.value).inc()
                tracing.note({f"exports.{name}": value for name, value in {"outcome": outcome.value, **facts}.items()})
                seconds = round(time.monotonic() - started, 3)
                log.info("attempt_ended", action="work", outcome=outcome.value, seconds=seconds, **facts)
                return outcome
        finally:
            metrics.running.dec()

    def gave_up(self, label: str) -> None:
        """Count work that was ended with `ATTEMPTS_EXHAUSTED` instead of being claimed."""
        self.metrics.failures.labels(label, ATTEMPTS_EXHAUSTED.code).inc()
        log.warning("work_given_up", action="work")

    async def _outcome(
        self, claim: Claim[LeaseT], work: Work[ProgressT, ResultT]
    ) -> tuple[Outcome, Mapping[str, tracing.Attribute]]:
        started = time.monotonic()
        try:
            result = await self._result(claim.lease, work)
        except LeaseLost as exc:
            self.metrics.lost.labels(exc.reason).inc()
            log.info("lease_lost", action="work", reason=exc.reason)
            return Outcome.FENCED, {}
        except _ShutDown:
            return Outcome.GIVEN_BACK if await self.store.give_back(claim.lease) else Outcome.FENCED, {}
        except AttemptError as exc:
            return await self._failed(claim, exc.error, transient=exc.transient), {}
        except Unavailable:
            raise
        except Exception:
            log.exception("attempt_crashed", action="work")
            return await self._failed(claim, INTERNAL_ERROR, transient=True), {}
        with tracing.span("commit"):
            stored = await self.store.complete(claim.lease, result)
        if not stored:
            await work.discard(result)
            return Outcome.FENCED, {}
        return Outcome.COMPLETED, work.completed(result, time.monotonic() - started)

    async def _result(self, lease: LeaseT, work: Work[ProgressT, ResultT]) -> ResultT:
        """The work's result, even if it finished after it was asked to stop.

        Raises:
            LeaseLost, _ShutDown: it was stopped.
            Exception: what the work raised by itself.
        """
        running = asyncio.create_task(work.run())
        running.add_done_callback(lambda task: task.cancelled() or task.exception())  # it may be left behind
        lost = asyncio.create_task(self._keep_alive(lease, work))
        shut_down = asyncio.create_task(self._shutting_down.wait())
        try:
            await asyncio.wait([running, lost, shut_down], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            running.cancel()
            await asyncio.wait([running], timeout=STOP_SECONDS)
            if running.done() and not running.cancelled() and running.exception() is None:
                return running.result()
            raise LeaseLost(lost.result()) if lost.done() else _ShutDown
        finally:
            for task in (running, lost, shut_down):
                task.cancel()

    async def _keep_alive(self, lease: LeaseT, work: Work[ProgressT, ResultT]) -> str:
        """Renew the lease until it is lost; returns the reason."""
        ends = time.monotonic() + self.lease + self.grace
        while True:
            await asyncio.sleep(min(self.heartbeat, self.lease / 3))
            now = time.monotonic()
            try:
                async with asyncio.timeout(ends - now):
                    if not await self.store.heartbeat(lease, work.progress, self.lease):
                        return "gone"
                ends = now + self.lease + self.grace
            except Exception as exc:  # noqa: BLE001  no error may end the heartbeat while the lease lasts
                log.warning("heartbeat_failed", action="work", reason=repr(exc)[:500])
                if time.monotonic() >= ends:
                    return "unrenewed"

    async def _failed(self, claim: Claim[LeaseT], error: ErrorInfo, *, transient: bool) -> Outcome:
        tracing.failed(error.code)
        log.warning("attempt_failed", action="work", code=error.code, reason=error.message, transient=transient)
        if transient and claim.attempt < claim.max_attempts:
            jitter = random.random()  # noqa: S311  not for secrets
            pause = delay(claim.attempt, first=self.first_retry, longest=self.max_retry, random=jitter)
            stored, outcome = await self.store.wait_for_retry(claim.lease, error, pause), Outcome.RETRIED
        else:
            stored, outcome = await self.store.fail(claim.lease, error), Outcome.FAILED
        if not stored:
            return Outcome.FENCED
        if outcome is Outcome.FAILED:
            self.metrics.failures.labels(claim.label, error.code).inc()
        return outcome


class _ShutDown(Exception):
    """The process shuts down."""


async def _logged(handling: Coroutine[Any, Any, None]) -> None:
    try:
        await handling
    except Unavailable as exc:
        log.warning("work_interrupted", action="work", reason=exc.message)
    except Exception:
        log.exception("work_failed", action="work")
