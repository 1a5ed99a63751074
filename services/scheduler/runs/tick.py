"""Plans due schedules: stores their runs and moves them to their next fire time. Replicas need no leader for this."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.scheduler.cron import time_zones
from services.scheduler.cron.expression import CronError
from services.scheduler.cron.misfire import Plan, plan
from services.scheduler.schedules.schedule import MISSED, Run, RunState, Timing, run_id
from services.scheduler.schedules.store import Due, Move, ScheduleStore

log = structlog.get_logger()

LATE = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
LATENESS = Histogram("scheduler_lateness_seconds", "Time from when a run was due until it was planned.", buckets=LATE)
PLANNED = Counter("scheduler_runs_planned_total", "Runs planned.")
SKIPPED = Counter("scheduler_fire_times_skipped_total", "Fire times that were skipped, by reason.", ["reason"])
OLDEST_DUE = Gauge("scheduler_oldest_due_seconds", "How long the most overdue schedule has been due.")


class Ticker:
    """Plans due schedules.

    Args:
        batch: schedules per round, at most; they are planned together.
        grace: a run that is later than this is missed.
    """

    def __init__(self, store: ScheduleStore, *, batch: int, grace: timedelta) -> None:
        self._store = store
        self._batch = batch
        self._grace = grace

    async def tick(self) -> int:
        """Plan due schedules, batch after batch, until none is left or another replica does it; returns the new runs.

        One schedule may need several rounds: a plan covers at most a thousand fire times.
        """
        created = 0
        while due := await self._store.due(self._batch):
            moves = await asyncio.to_thread(self._moves, due)
            planned = await self._store.planned(moves)
            _report(moves, planned.runs)
            created += sum(run.state is RunState.WAITING for run in planned.runs)
            if not planned.moved:
                break
        return created

    async def refresh(self) -> int:
        """Recompute fire times that were computed with other time-zone rules; returns how many. Planned runs stay."""
        rules, done = time_zones.version(), 0
        while found := await self._store.with_other_rules(rules, self._batch):
            now = await self._store.now()
            for schedule in found:
                after = await asyncio.to_thread(_with_current_rules, schedule, now)
                done += await self._store.move(schedule, after)
        return done

    async def measure(self) -> None:
        """Update the age of the longest due schedule."""
        OLDEST_DUE.set(await self._store.oldest_due_age())

    def _moves(self, due: Sequence[Due]) -> list[Move]:
        moves = []
        for one in due:
            try:
                moves.append(self._move(one.schedule, one.now))
            except Exception:  # one broken schedule must not stop the others
                log.exception("schedule_not_planned", action="tick", schedule_id=one.schedule.id)
        return moves

    def _move(self, schedule: Timing, now: datetime) -> Move:
        ahead = self._ahead(schedule, now)
        after = replace(schedule, planned_until=_latest(schedule, ahead), next_fire_at=ahead.next_fire)
        return Move(schedule, after, tuple(_runs(schedule, ahead, now)))

    def _ahead(self, schedule: Timing, now: datetime) -> Plan:
        """The plan. Jitter delays the start of runs and does not change their fire times."""
        try:
            return plan(
                schedule.cron,
                last=schedule.planned_until,
                now=now - schedule.delay,
                policy=schedule.misfire,
                grace=self._grace,
            )
        except CronError as exc:  # for example a time zone that was removed
            log.error("schedule_unreadable", action="tick", schedule_id=schedule.id, reason=str(exc))  # noqa: TRY400  the reason is enough
            return Plan(run=(), skipped=(), next_fire=None)


def _report(moves: Sequence[Move], runs: Sequence[Run]) -> None:
    """Count and log the new runs."""
    delays = {move.before.id: move.before.delay for move in moves}
    for run in runs:
        if run.state is RunState.WAITING:
            PLANNED.inc()
            LATENESS.observe(max(0.0, (run.created_at - delays[run.schedule_id] - run.fire_at).total_seconds()))
        else:
            SKIPPED.labels(MISSED).inc(run.skipped)
        log.info("planned", action="tick", run_id=run.id, schedule_id=run.schedule_id, state=run.state.value)


def _with_current_rules(schedule: Timing, now: datetime) -> Timing:
    """The schedule with its next fire time recomputed. Due times are still planned; missed runs are not backfilled."""
    is_due = schedule.next_fire_at is not None and schedule.next_fire_at <= now
    after = schedule.planned_until if is_due else max(schedule.planned_until, now)
    try:
        following = schedule.cron.next_fire(after)
    except CronError as exc:
        log.error("schedule_unreadable", action="refresh", schedule_id=schedule.id, reason=str(exc))  # noqa: TRY400  the reason is enough
        following = None
    return replace(schedule, planned_until=after, next_fire_at=following, rules=time_zones.version())


def _latest(schedule: Timing, ahead: Plan) -> datetime:
    return max([schedule.planned_until, *ahead.run, *ahead.skipped])


def _runs(schedule: Timing, ahead: Plan, now: datetime) -> list[Run]:
    """The runs of a plan; one skipped run stands for all missed fire times."""
    runs = [
        Run(run_id(schedule.id, at), schedule.id, schedule.tenant, at, RunState.WAITING, now, waits=len(ahead.run) > 1)
        for at in ahead.run
    ]
    if ahead.skipped:
        newest = ahead.skipped[-1]
        missed = Run(
            run_id(schedule.id, newest),
            schedule.id,
            schedule.tenant,
            newest,
            RunState.SKIPPED,
            now,
            reason=MISSED,
            finished_at=now,
            skipped=len(ahead.skipped),
        )
        runs.append(missed)
    return runs
