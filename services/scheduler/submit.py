"""Turns waiting runs into jobs, in the order the schedule's overlap policy demands."""

import asyncio
from collections.abc import Sequence

import structlog

from services.chassis.faults import Fault, Kind
from services.scheduler.exporter_client import ExporterClient
from services.scheduler.outcomes import Outcomes
from services.scheduler.run_store import RunStore
from services.scheduler.schedule_store import ScheduleStore
from services.scheduler.schedules import Overlap, Run, RunState, Schedule
from services.scheduler.tick import SKIPPED

log = structlog.get_logger()

AGAIN_SECONDS = 10.0
"""Until a run that could not be submitted is tried again."""
PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.INTERNAL})

OVERLAP = "overlap"
QUEUE_FULL = "queue_full"
PAUSED = "paused"
DELETED = "schedule_deleted"


class Submitter:
    """Submits runs.

    Args:
        batch: runs a look takes, at most.
        at_once: of these, submitted at the same time.
        follow: seconds until a submitted run's outcome is asked for.
    """

    def __init__(
        self,
        schedules: ScheduleStore,
        runs: RunStore,
        exporter: ExporterClient,
        outcomes: Outcomes,
        *,
        batch: int,
        at_once: int,
        follow: float,
    ) -> None:
        self._schedules = schedules
        self._runs = runs
        self._exporter = exporter
        self._outcomes = outcomes
        self._batch = batch
        self._slots = asyncio.Semaphore(at_once)
        self._follow = follow

    async def round(self) -> int:
        """Submit what waits and is due; returns how many runs were looked at."""
        due = await self._runs.take_due(RunState.WAITING, AGAIN_SECONDS, self._batch)
        by_schedule: dict[str, list[Run]] = {}
        for run in due:
            by_schedule.setdefault(run.schedule_id, []).append(run)
        await asyncio.gather(*(self._all_of(runs) for runs in by_schedule.values()))
        return len(due)

    async def _all_of(self, runs: Sequence[Run]) -> None:
        """Runs of one schedule one after the other, the oldest first."""
        async with self._slots:
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
            await self._submit(run, schedule)

    async def _may_start(self, run: Run, schedule: Schedule) -> bool:
        """Whether no predecessor is in the way; if one is, the run waits on or is skipped."""
        before = await self._runs.live_before(run)
        going = [one for one in before if one.state is RunState.WAITING or await self._outcomes.is_going(one)]
        if not going:
            return True
        if run.waits:
            return False
        if schedule.overlap is Overlap.SKIP:
            await self._skip(run, OVERLAP)
        elif any(one.state is RunState.WAITING and not one.waits for one in going):
            await self._skip(run, QUEUE_FULL)
        return False

    async def _submit(self, run: Run, schedule: Schedule) -> None:
        try:
            await self._exporter.submit(run, schedule)
        except Fault as fault:
            if fault.kind in PASSING:  # it is due again in a while
                log.warning("submit_postponed", action="submit", code=fault.code, reason=fault.message)
                return
            await self._runs.ended(run.id, RunState.FAILED, f"{fault.code}: {fault.message}"[:1000])
            log.warning("submit_refused", action="submit", code=fault.code, reason=fault.message)
            return
        await self._runs.submitted(run.id, self._follow)
        log.info("submitted", action="submit", job_id=run.job_id, tenant=run.tenant)

    async def _skip(self, run: Run, reason: str) -> None:
        if await self._runs.ended(run.id, RunState.SKIPPED, reason) is not None:
            SKIPPED.labels(reason).inc()
            log.info("skipped", action="submit", reason=reason)
