"""Claimed work under a lease, the same for every worker.

The work runs beside a heartbeat that renews its lease. It is stopped when the lease is lost or the process shuts down.
How it ended is stored with one compare-and-set on the lease, counted, logged and noted on the attempt's span.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from services.chassis.faults import AttemptError, ErrorInfo, Unavailable
from services.chassis.telemetry import tracing
from services.chassis.telemetry.metrics import initialize_labels

log = structlog.get_logger()

SHUTDOWN_SECONDS = 10.0
"""For all running work to be given back when the process shuts down."""
STOP_SECONDS = 5.0
"""For one attempt to end after it was stopped; an attempt that takes longer is left behind."""

ATTEMPTS_EXHAUSTED = ErrorInfo(
    "attempts_exhausted",
    "No attempt came to an end: the process crashed or was killed each time. See the service's log.",
)
INTERNAL_ERROR = ErrorInfo("internal_error", "The attempt failed unexpectedly. See the service's log.")

LeaseT = TypeVar("LeaseT")
ProgressT = TypeVar("ProgressT")
ResultT = TypeVar("ResultT")
LeaseIn = TypeVar("LeaseIn", contravariant=True)
ProgressIn = TypeVar("ProgressIn", contravariant=True)
ResultIn = TypeVar("ResultIn", contravariant=True)
ProgressOut = TypeVar("ProgressOut", covariant=True)


class Outcome(StrEnum):
    """How an attempt ended, as metrics, logs and spans show it."""

    COMPLETED = "completed"
    RETRIED = "retried"
    FAILED = "failed"
    FENCED = "fenced"
    """The lease was lost: the work was cancelled, or another process has claimed it."""
    GIVEN_BACK = "given_back"
    """The process shut down; the attempt does not count."""


class LeaseLost(Exception):
    """The lease is no longer held.

    Args:
        reason: `gone`: the work was cancelled or claimed by another process; `unrenewed`: every heartbeat failed for
            as long as the lease lasts.
    """

    def __init__(self, reason: str = "gone") -> None:
        super().__init__(reason)
        self.reason = reason


class LeaseStore(Protocol[LeaseIn, ProgressIn, ResultIn]):
    """Where leased work is stored. Every method returns False, and changes nothing, when the lease was lost."""

    def heartbeat(self, lease: LeaseIn, progress: ProgressIn, seconds: float, /) -> Awaitable[bool]:
        """Store the progress and extend the lease to `seconds` from now."""

    def complete(self, lease: LeaseIn, result: ResultIn, /) -> Awaitable[bool]:
        """Store the result and end the work."""

    def fail(self, lease: LeaseIn, error: ErrorInfo, /) -> Awaitable[bool]:
        """End the work with an error."""

    def wait_for_retry(self, lease: LeaseIn, error: ErrorInfo, delay: float, /) -> Awaitable[bool]:
        """Make the work due again in `delay` seconds."""

    def give_back(self, lease: LeaseIn, /) -> Awaitable[bool]:
        """Make the work due now, without counting the attempt."""


@dataclass(frozen=True, slots=True)
class Claim(Generic[LeaseT]):
    """Work that was just claimed.

    Args:
        label: the value of the metrics' label, such as the format of the file.
        attempt: from 1.
        is_takeover: the previous attempt's lease ran out.
        traceparent: the stored trace that the attempt's span belongs to.
    """

    lease: LeaseT
    label: str
    attempt: int
    max_attempts: int
    is_takeover: bool
    span: str
    traceparent: str
    attributes: Mapping[str, tracing.Attribute]
    span_kind: SpanKind = SpanKind.INTERNAL

    @property
    def kind(self) -> str:
        """`first`, `retry` or `takeover`."""
        return "takeover" if self.is_takeover else "first" if self.attempt == 1 else "retry"


class Work(Protocol[ProgressOut, ResultT]):
    """What a service does with one claim."""

    @property
    def progress(self) -> ProgressOut:
        """Read by every heartbeat."""

    async def run(self) -> ResultT:
        """Do the work. It is cancelled to stop it, and has `STOP_SECONDS` to end.

        Raises:
            AttemptError: the attempt failed.
            LeaseLost: the store refused a change.
        """

    def completed(self, result: ResultT, seconds: float) -> Mapping[str, tracing.Attribute]:
        """Count a stored result; returns what log and span should show of it."""

    async def discard(self, result: ResultT) -> None:
        """Remove a result that could not be stored because the lease was lost."""


@dataclass(frozen=True, slots=True)
class LeaseMetrics:
    """A service's metrics of its attempts, with their labels in this order."""

    running: Gauge
    claims: Counter
    """By kind: first, retry, takeover."""
    lost: Counter
    """By reason: gone, unrenewed."""
    attempts: Counter
    """By the claim's label and the outcome."""
    failures: Counter
    """By the claim's label and the error's code."""

    def __post_init__(self) -> None:
        """Create the series whose label values are known."""
        initialize_labels(self.claims, "first", "retry", "takeover")
        initialize_labels(self.lost, "gone", "unrenewed")


@dataclass(slots=True)
class LeasedWork(Generic[LeaseT, ProgressT, ResultT]):
    """Runs claimed work.

    Args:
        lease: seconds a lease lasts after a heartbeat.
        heartbeat: seconds between two heartbeats; at most a third of the lease is used.
        first_retry, max_retry: seconds before the second attempt, doubling, and at most.
    """

    store: LeaseStore[LeaseT, ProgressT, ResultT]
    metrics: LeaseMetrics
    lease: float
    heartbeat: float
    first_retry: float
    max_retry: float
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
        """The work's result; also of work that finished although it was told to stop.

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
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(min(self.heartbeat, self.lease / 3))
            now = time.monotonic()
            try:
                if not await self.store.heartbeat(lease, work.progress, self.lease):
                    return "gone"
                renewed = now
            except Exception as exc:  # noqa: BLE001  no error may end the heartbeat while the lease lasts
                log.warning("heartbeat_failed", action="work", reason=repr(exc)[:500])
                if now - renewed >= self.lease:
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


def delay(attempt: int, *, first: float, longest: float, random: float) -> float:
    """Seconds to wait after attempt `attempt` (from 1): `first`, doubling up to `longest`.

    Args:
        random: 0 to 1, spreads the upper half of the delay, so that many retries do not come at the same time.
    """
    full = min(longest, first * 2.0 ** min(64, max(0, attempt - 1)))
    return full * (0.5 + random / 2)


class _ShutDown(Exception):
    """The process shuts down."""


async def _logged(handling: Coroutine[Any, Any, None]) -> None:
    try:
        await handling
    except Unavailable as exc:
        log.warning("work_interrupted", action="work", reason=exc.message)
    except Exception:
        log.exception("work_failed", action="work")
