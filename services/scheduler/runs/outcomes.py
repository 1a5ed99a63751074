"""Ends runs when their jobs end: from the exporter's events, and by polling, since an event may be lost."""

from datetime import UTC, datetime

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from services.chassis import loops
from services.chassis.jetstream import Inbox
from services.export_events import parse_event
from services.scheduler.clients import ExporterClient
from services.scheduler.runs.store import RunStore
from services.scheduler.schedules.schedule import Run, RunState
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

MAX_REASON_LENGTH = 1_000
JOB_DELETED = "job_deleted: The job was deleted before its outcome was seen."

ENDED = Counter("scheduler_runs_ended_total", "Runs whose export ended, by outcome.", ["outcome"])

STATES: dict[pb.JobState.ValueType, RunState] = {
    pb.JOB_STATE_COMPLETED: RunState.COMPLETED,
    pb.JOB_STATE_EXPIRED: RunState.COMPLETED,
    pb.JOB_STATE_FAILED: RunState.FAILED,
    pb.JOB_STATE_CANCELLED: RunState.CANCELLED,
}


class Outcomes:
    """Ends runs whose jobs have ended.

    Args:
        follow: seconds between two checks of a run.
        batch: runs per round, at most.
        concurrency: runs that are checked at the same time.
    """

    def __init__(
        self, runs: RunStore, exporter: ExporterClient, inbox: Inbox, *, follow: float, batch: int, concurrency: int
    ) -> None:
        self._runs = runs
        self._exporter = exporter
        self._inbox = inbox
        self._follow = follow
        self._batch = batch
        self._concurrency = concurrency

    async def listen(self) -> None:
        """Handle one event; to be called in a loop."""
        await self._inbox.take(self._handle)

    async def ask(self) -> int:
        """Poll the jobs of runs for which no event has arrived; returns how many."""
        due = await self._runs.take_due(RunState.SUBMITTED, self._follow, self._batch)
        await loops.for_each("ask", due, self.is_live, concurrency=self._concurrency)
        return len(due)

    async def is_live(self, run: Run) -> bool:
        """Whether the job of a submitted run is live, as the exporter says; if not, end the run.

        Raises:
            Fault: the exporter or the database does not answer.
        """
        job = await self._exporter.job(run.tenant, run.job_id)
        if job is None:
            await self._finish(run.id, run.schedule_id, RunState.FAILED, JOB_DELETED, None)
            return False
        state = STATES.get(job.state)
        if state is None:
            return True
        await self._finish(run.id, run.schedule_id, state, _reason(job), job.finished_at.ToDatetime(UTC))
        return False

    async def _handle(self, message: Msg) -> None:
        event = parse_event(message)
        if event is None or not event.schedule_id or (state := STATES.get(event.state)) is None:
            return
        job = None
        if state is RunState.FAILED:  # the event has no reason
            job = await self._exporter.job(event.tenant, event.job_id)
        await self._finish(event.job_id, event.schedule_id, state, _reason(job), event.finished_at.ToDatetime(UTC))

    async def _finish(self, run_id: str, schedule_id: str, state: RunState, reason: str, at: datetime | None) -> None:
        if await self._runs.ended(run_id, state, reason, at) is None:
            return
        ENDED.labels(state.value).inc()
        log.info("run_ended", action="outcome", run_id=run_id, schedule_id=schedule_id, outcome=state.value)
        await self._runs.wake(schedule_id)


def _reason(job: pb.Job | None) -> str:
    """The error of a failed job; empty for other jobs."""
    if job is None or job.state != pb.JOB_STATE_FAILED:
        return ""
    return f"{job.error.code}: {job.error.message}"[:MAX_REASON_LENGTH]
