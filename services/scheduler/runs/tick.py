"""The tick: what is due is planned, stored as runs and moved on. Any number of replicas do this at once, none leads."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.scheduler.cron import time_zones
from services.scheduler.cron.expression import CronError
from services.scheduler.cron.misfire import Plan, plan
from services.scheduler.schedules.schedule import Run, RunState, Schedule, run_id
from services.scheduler.schedules.store import Due, Move, ScheduleStore

log = structlog.get_logger()

LATE = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
LATENESS = Histogram("scheduler_lateness_seconds", "From when a run was due to when it was planned.", buckets=LATE)
PLANNED = Counter("scheduler_runs_planned_total", "Runs planned.")
SKIPPED = Counter("scheduler_fire_times_skipped_total", "Fire times that were not run.", ["reason"])
OLDEST_DUE = Gauge("scheduler_oldest_due_seconds", "How long the schedule that is longest due has waited.")

MISSED = "missed"


class Ticker:
    """Plans what is due.

    Args:
        batch: schedules a look takes, at most; they are planned together.
        grace: up to this late, a run is late and not missed.
    """

    def __init__(self, store: ScheduleStore, *, batch: int, grace: timedelta) -> None:
        self._store = store
        self._batch = batch
        self._grace = grace

    async def tick(self) -> int:
        """Plan what is due, batch after batch, until there is nothing or others do it; returns how many runs that made.

        One schedule may take several rounds: a plan deals with a thousand fire times at most.
        """
        made = 0
        while due := await self._store.due(self._batch):
            moves = await self._moves(due)
            planned = await self._store.planned(moves)
            _tell(moves, planned.runs)
            made += sum(run.state is RunState.WAITING for run in planned.runs)
            if not planned.moved:
                break
        return made

    async def refresh(self) -> int:
        """Compute next times anew that other time-zone rules gave; returns how many. A planned time stays as it is."""
        rules, done = time_zones.version(), 0
        while found := await self._store.with_other_rules(rules, self._batch):
            now = await self._store.now()
            for schedule in found:
                done += await self._store.change(schedule, _by_rules_of_today(schedule, now)) is not None
        return done

    async def measure(self) -> None:
        """Bring the age of the longest due schedule up to date."""
        OLDEST_DUE.set(await self._store.oldest_due_age())

    async def _moves(self, due: Sequence[Due]) -> list[Move]:
        moves = []
        for one in due:
            try:
                moves.append(self._move(one.schedule, one.now))
            except Exception:  # a schedule that defeats us must not stop the others
                log.exception("schedule_not_planned", action="tick", schedule_id=one.schedule.id)
            await asyncio.sleep(0)  # each takes up to 10 ms after a long stop, and others want to be answered
        return moves

    def _move(self, schedule: Schedule, now: datetime) -> Move:
        ahead = self._ahead(schedule, now)
        after = replace(schedule, planned_until=_latest(schedule, ahead), next_fire_at=ahead.next_fire)
        return Move(schedule, after, tuple(_runs(schedule, ahead, now)))

    def _ahead(self, schedule: Schedule, now: datetime) -> Plan:
        """The delay that spreads schedules moves their clock and not their fire times."""
        try:
            return plan(
                schedule.cron,
                last=schedule.planned_until,
                now=now - schedule.delay,
                policy=schedule.misfire,
                grace=self._grace,
            )
        except CronError as exc:  # its zone, for one, is gone from the rules: it must not stop the others
            log.error("schedule_unreadable", action="tick", schedule_id=schedule.id, reason=str(exc))  # noqa: TRY400  the reason says it all
            return Plan(run=(), skipped=(), next_fire=None)


def _tell(moves: Sequence[Move], runs: Sequence[Run]) -> None:
    """Count and log the new runs."""
    delays = {move.before.id: move.before.delay for move in moves}
    for run in runs:
        if run.state is RunState.WAITING:
            PLANNED.inc()
            LATENESS.observe(max(0.0, (run.created_at - delays[run.schedule_id] - run.fire_at).total_seconds()))
        else:
            SKIPPED.labels(MISSED).inc(run.skipped)
        log.info("planned", action="tick", run_id=run.id, schedule_id=run.schedule_id, state=run.state.value)


def _by_rules_of_today(schedule: Schedule, now: datetime) -> Schedule:
    """With its next time computed anew: what is due already is planned as ever, what would have been is not made up."""
    is_due = schedule.next_fire_at is not None and schedule.next_fire_at <= now
    after = schedule.planned_until if is_due else max(schedule.planned_until, now)
    try:
        following = schedule.cron.next_fire(after)
    except CronError as exc:
        log.error("schedule_unreadable", action="refresh", schedule_id=schedule.id, reason=str(exc))  # noqa: TRY400  the reason says it all
        following = None
    return replace(schedule, planned_until=after, next_fire_at=following, rules=time_zones.version())


def _latest(schedule: Schedule, ahead: Plan) -> datetime:
    return max([schedule.planned_until, *ahead.run, *ahead.skipped])


def _runs(schedule: Schedule, ahead: Plan, now: datetime) -> list[Run]:
    """The runs of a plan; one record stands for all fire times that were missed."""
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
