"""What became of submitted runs: from the exporter's events, at once, and by asking, so that none stays open."""

import asyncio
from datetime import UTC, datetime

import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from prometheus_client import Counter

from services.chassis.faults import Fault
from services.chassis.jetstream import FAULTS, Inbox, Stream
from services.scheduler.exporter_client import ExporterClient
from services.scheduler.run_store import RunStore
from services.scheduler.schedules import Run, RunState
from services.wire import events_pb2
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

# As in the exporter, which publishes them; whoever comes first makes the stream.
EVENTS = Stream("EXPORT_EVENTS", "exports.events.*", work_queue=False)
ACK_WAIT = 30.0
NAK_DELAY = 5.0

ENDED = Counter("scheduler_runs_ended_total", "Runs whose export ended, by outcome.", ["outcome"])

STATES: dict[pb.JobState.ValueType, RunState] = {
    pb.JOB_STATE_COMPLETED: RunState.COMPLETED,
    pb.JOB_STATE_EXPIRED: RunState.COMPLETED,
    pb.JOB_STATE_FAILED: RunState.FAILED,
    pb.JOB_STATE_CANCELLED: RunState.CANCELLED,
}
FROM_EVENT = {"completed": RunState.COMPLETED, "failed": RunState.FAILED, "cancelled": RunState.CANCELLED}


class Outcomes:
    """Ends runs whose jobs have ended.

    Args:
        follow: seconds between two questions for a run.
        batch: runs a round asks for, at most.
        at_once: of these, at the same time.
    """

    def __init__(
        self, runs: RunStore, exporter: ExporterClient, inbox: Inbox, *, follow: float, batch: int, at_once: int
    ) -> None:
        self._runs = runs
        self._exporter = exporter
        self._inbox = inbox
        self._follow = follow
        self._batch = batch
        self._slots = asyncio.Semaphore(at_once)

    async def listen(self) -> None:
        """Take one event; to be called for ever."""
        message = await self._inbox.next()
        if message is None:
            return
        try:
            await self._hear(message)
        except Fault as fault:
            log.warning("outcome_postponed", action="listen", reason=fault.message)
            await _settle(message, nak=True)
        else:
            await _settle(message, nak=False)

    async def ask(self) -> int:
        """Ask for runs that no event told of in time; returns how many were asked for."""
        due = await self._runs.take_due(RunState.SUBMITTED, self._follow, self._batch)
        await asyncio.gather(*(self._asked(run) for run in due))
        return len(due)

    async def is_going(self, run: Run) -> bool:
        """Whether a submitted run's job has not ended, asked of the exporter; what has ended is recorded."""
        job = await self._exporter.job(run.tenant, run.job_id)
        if job is None:
            await self._end(run, RunState.FAILED, "job_deleted: The job was deleted before its outcome was seen.", None)
            return False
        state = STATES.get(job.state)
        if state is None:
            return True
        reason = f"{job.error.code}: {job.error.message}" if job.HasField("error") and state is RunState.FAILED else ""
        await self._end(run, state, reason, job.finished_at.ToDatetime(UTC))
        return False

    async def _asked(self, run: Run) -> None:
        async with self._slots:
            try:
                await self.is_going(run)
            except Fault as fault:  # it is due again in a while
                log.warning("outcome_unknown", action="ask", run_id=run.id, reason=fault.message)

    async def _hear(self, message: Msg) -> None:
        event = events_pb2.ExportFinished()
        try:
            event.ParseFromString(message.data)
        except DecodeError:
            log.warning("event_unreadable", action="listen", subject=message.subject)
            return
        if not event.schedule_id or event.state not in FROM_EVENT:
            return
        if event.state == "failed":  # the event does not say why
            job = await self._exporter.job(event.tenant, event.job_id)
            reason = f"{job.error.code}: {job.error.message}" if job is not None else ""
        else:
            reason = ""
        at = event.finished_at.ToDatetime(UTC)
        await self._finish(event.job_id, event.schedule_id, FROM_EVENT[event.state], reason, at)

    async def _end(self, run: Run, state: RunState, reason: str, at: datetime | None) -> None:
        await self._finish(run.id, run.schedule_id, state, reason, at)

    async def _finish(self, run_id: str, schedule_id: str, state: RunState, reason: str, at: datetime | None) -> None:
        if await self._runs.ended(run_id, state, reason[:1000], at) is None:
            return
        ENDED.labels(state.value).inc()
        log.info("run_ended", action="outcome", run_id=run_id, schedule_id=schedule_id, outcome=state.value)
        await self._runs.wake(schedule_id)


async def _settle(message: Msg, *, nak: bool) -> None:
    try:
        await (message.nak(delay=NAK_DELAY) if nak else message.ack())
    except FAULTS as exc:  # it comes again, which does no harm
        log.debug("not_settled", action="listen", reason=repr(exc))
