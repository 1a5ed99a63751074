"""Publishes the two outboxes of a job: the wake-up of a worker for a due job, and the event of an ended job.

Any number of replicas do this concurrently. A lost message delays a job at most by the pause between two wake-ups.
"""

import structlog

from services.chassis.faults import Unavailable
from services.chassis.jetstream import JetStream, Stream
from services.chassis.telemetry import tracing
from services.export_events import EVENTS
from services.exporter.jobs.job import Job
from services.exporter.jobs.store import JobStore
from services.wire import events_pb2, exporter_pb2

log = structlog.get_logger()

EXPORTS = Stream("EXPORTS", "exports.jobs", work_queue=True)

TENANT_HEADER = "Tenant"
"""Of a wake-up: whose job it is for."""

BATCH = 200
EVENT_PAUSE = 30.0
"""Seconds until an event that was not confirmed is sent again."""


class Dispatcher:
    """Publishes due wake-ups and events.

    Args:
        pause: seconds until an unclaimed job is published again.
    """

    def __init__(self, store: JobStore, jetstream: JetStream, *, pause: float) -> None:
        self._store = store
        self._jetstream = jetstream
        self._pause = pause

    async def wake(self, job_id: str) -> None:
        """Publish one job now, if it is due; after a failure, `dispatch_due` does it later."""
        if not self._jetstream.is_connected:
            return
        try:
            job = await self._store.take_one_due(job_id, self._pause)
            if job is not None:
                await self._publish(job)
        except Unavailable as exc:
            log.warning("wake_failed", action="dispatch", job_id=job_id, reason=exc.message)

    async def dispatch_due(self) -> int:
        """Publish jobs that are due, at most `BATCH`; returns how many."""
        if not self._jetstream.is_connected:
            return 0
        for sent in range(BATCH):
            job = await self._store.take_due(self._pause)
            if job is None:
                return sent
            await self._publish(job)
        return BATCH

    async def _publish(self, job: Job) -> None:
        try:
            with tracing.continued(job.traceparent):
                headers = {TENANT_HEADER: job.tenant}
                await self._jetstream.publish(EXPORTS, EXPORTS.subjects, job.id.encode(), headers)
        except Unavailable:
            await self._store.due_soon(job.id, min(1.0, self._pause))
            raise
        log.debug("dispatched", action="dispatch", job_id=job.id, tenant=job.tenant)

    async def send_events(self) -> int:
        """Publish unconfirmed events of ended jobs, at most `BATCH`; returns how many."""
        if not self._jetstream.is_connected:
            return 0
        for sent in range(BATCH):
            job = await self._store.take_event(EVENT_PAUSE)
            if job is None:
                return sent
            with tracing.continued(job.traceparent):
                await self._jetstream.publish(EVENTS, f"exports.events.{job.state.value}", _event(job))
            await self._store.event_sent(job)
        return BATCH


def _event(job: Job) -> bytes:
    event = events_pb2.ExportFinished(
        job_id=job.id,
        tenant=job.tenant,
        state=exporter_pb2.JobState.Value(f"JOB_STATE_{job.state.name}"),
        format=job.format,
        schedule_id=job.schedule_id,
    )
    if job.finished_at is not None:
        event.finished_at.FromDatetime(job.finished_at)
    return event.SerializeToString()
