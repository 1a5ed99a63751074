"""Submits waiting runs as jobs, in the order that the schedule's overlap policy requires."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import structlog
from opentelemetry.trace import Span
from prometheus_client import Gauge, Histogram

from services.chassis import loops
from services.chassis.faults import Fault, Kind
from services.chassis.telemetry import tracing
from services.scheduler.clients import ExporterClient
from services.scheduler.runs.baseline import Baselines, with_base
from services.scheduler.runs.outcomes import MAX_REASON_LENGTH, Outcomes
from services.scheduler.runs.store import RunStore
from services.scheduler.runs.tick import LATE, SKIPPED
from services.scheduler.schedules.schedule import Overlap, Run, RunState, Schedule
from services.scheduler.schedules.store import ScheduleStore
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

STARTED = Histogram(
    "scheduler_start_lateness_seconds", "Time from when a run was due until its job was accepted.", buckets=LATE
)
OLDEST_WAITING = Gauge("scheduler_oldest_waiting_seconds", "How long the oldest waiting run has waited for its job.")

TRANSIENT = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.INTERNAL})

OVERLAP = "overlap"
QUEUE_FULL = "queue_full"
PAUSED = "paused"
DELETED = "schedule_deleted"


class Submitter:
    """Submits runs.

    Args:
        batch: runs per round, at most.
        concurrency: schedules whose runs are submitted at the same time.
        follow: seconds until a submitted run's outcome is checked.
        retry: seconds until a run that could not be submitted, or has to wait, is due again.
    """

    def __init__(
        self,
        schedules: ScheduleStore,
        runs: RunStore,
        exporter: ExporterClient,
        outcomes: Outcomes,
        baselines: Baselines,
        *,
        batch: int,
        concurrency: int,
        follow: float,
        retry: float,
    ) -> None:
        self._schedules = schedules
        self._runs = runs
        self._exporter = exporter
        self._outcomes = outcomes
        self._baselines = baselines
        self._batch = batch
        self._concurrency = concurrency
        self._follow = follow
        self._retry = retry

    async def round(self) -> int:
        """Submit waiting runs that are due, batch after batch; returns how many runs were taken."""
        taken = 0
        while due := await self._runs.take_due(RunState.WAITING, self._retry, self._batch):
            by_schedule: dict[str, list[Run]] = {}
            for run in due:
                by_schedule.setdefault(run.schedule_id, []).append(run)
            await loops.for_each("submit", by_schedule.values(), self._all_of, concurrency=self._concurrency)
            taken += len(due)
        return taken

    async def measure(self) -> None:
        """Update the age of the oldest waiting run."""
        OLDEST_WAITING.set(await self._runs.longest_wait())

    async def _all_of(self, runs: Sequence[Run]) -> None:
        """Submit the runs of one schedule one after the other, oldest first."""
        for run in runs:
            with structlog.contextvars.bound_contextvars(run_id=run.id, schedule_id=run.schedule_id):
                await self._one(run)

    async def _one(self, run: Run) -> None:
        schedule = await self._schedules.get(run.tenant, run.schedule_id)
        if schedule is None:
            await self._skip(run, DELETED)
        elif not (schedule.is_active or run.is_manual):
            await self._skip(run, PAUSED)
        elif run.is_manual or await self._may_start(run, schedule):
            with _span(run):
                await self._submit(run, schedule)

    async def _may_start(self, run: Run, schedule: Schedule) -> bool:
        """Whether no earlier run is live; if one is, the run keeps waiting or is skipped."""
        before = await self._runs.live_before(run)
        waiting = [one for one in before if one.state is RunState.WAITING]
        if not waiting and not await self._any_live(before):
            return True
        if run.waits:
            return False
        if schedule.overlap is Overlap.SKIP:
            await self._skip(run, OVERLAP)
        elif any(not one.waits for one in waiting):
            await self._skip(run, QUEUE_FULL)
        return False

    async def _any_live(self, submitted: Sequence[Run]) -> bool:
        for run in submitted:
            if await self._outcomes.is_live(run):
                return True
        return False

    async def _submit(self, run: Run, schedule: Schedule) -> None:
        request = _job_request(run, schedule)
        try:
            if schedule.changes:
                base = await self._baselines.take(run, schedule)
                if base is None:
                    log.info("baseline_undecided", action="submit", tenant=run.tenant)
                    return
                request.options_json = with_base(request.options_json, base, schedule)
            await self._exporter.create_job(request)
        except Fault as fault:
            if fault.kind is not Kind.MISMATCH:
                tracing.failed(fault.code)
            if fault.kind in TRANSIENT:  # it becomes due again
                log.warning("submit_postponed", action="submit", code=fault.code, reason=fault.message)
                return
            # A job with this id is this run's own: a replica submitted it and died before the schedule was changed.
            if fault.kind is not Kind.MISMATCH:
                await self._drop(run, RunState.FAILED, f"{fault.code}: {fault.message}"[:MAX_REASON_LENGTH])
                return
        now = await self._runs.submitted(run.id, self._follow)
        if now is not None and now.started_at is not None and not run.is_manual:
            STARTED.observe(max(0.0, (now.started_at - run.fire_at - schedule.delay).total_seconds()))
        log.info("submitted", action="submit", job_id=run.job_id, tenant=run.tenant)

    async def _skip(self, run: Run, reason: str) -> None:
        # A replica that died may have submitted the run before there was a reason to skip it.
        if await self._exporter.job(run.tenant, run.job_id) is not None:
            await self._runs.submitted(run.id, self._follow)
        elif await self._drop(run, RunState.SKIPPED, reason):
            SKIPPED.labels(reason).inc()

    async def _drop(self, run: Run, state: RunState, reason: str) -> bool:
        """End the run without a job; False: it is no longer waiting."""
        if await self._runs.dropped(run.id, state, reason) is None:
            return False
        log.info("dropped", action="submit", outcome=state.value, reason=reason)
        await self._runs.wake(run.schedule_id)
        return True


def _job_request(run: Run, schedule: Schedule) -> pb.CreateJobRequest:
    return pb.CreateJobRequest(
        tenant=schedule.tenant,
        format=schedule.format,
        options_json=schedule.options_json,
        profile_id=schedule.profile_id,
        platforms=pb.PlatformSelection(platform_ids=[schedule.platform_id]),
        job_id=run.job_id,
        schedule_id=schedule.id,
        schedule_name=schedule.name,
    )


def _span(run: Run) -> AbstractContextManager[Span]:
    """The span of a submission; the job and everything it causes belong to this trace."""
    attributes: dict[str, tracing.Attribute] = {
        "exports.schedule.id": run.schedule_id,
        "exports.run.id": run.id,
        "exports.tenant": run.tenant,
        "exports.run.fire_at": run.fire_at.isoformat(),
    }
    return tracing.span("submit run", parent=tracing.from_text(run.traceparent), attributes=attributes)
