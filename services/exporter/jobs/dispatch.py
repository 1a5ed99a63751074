"""Publishes the two outboxes of a job: the wake-up of a worker for a due job, and the event of an ended job.

A live job has one wake-up, however long it lives: it has a subject of its own, which holds one message. It is published
when the job is accepted and removed when the job ends; publishing it again changes nothing. Any number of replicas do
this concurrently.
"""

import asyncio
import time
import uuid
from collections import deque

import structlog

from services.chassis import loops
from services.chassis.faults import Unavailable
from services.chassis.jetstream import JetStream, Stream
from services.chassis.telemetry import tracing
from services.export_events import EVENTS
from services.exporter.jobs.job import WAITING, End, Job
from services.exporter.jobs.store import JobStore
from services.wire import events_pb2, exporter_pb2

log = structlog.get_logger()

WAKE_UPS = "exports.jobs"
EXPORTS = Stream("EXPORTS", f"{WAKE_UPS}.*", work_queue=True, one_per_subject=True)

TENANT_HEADER = "Tenant"
"""Of a wake-up: whose job it is for."""

BATCH = 200
CONCURRENCY = 20
NOTE_SECONDS = 2.5
"""After publishing a job's wake-up. Most jobs are claimed earlier, and nothing has to be noted about those. It is less
than `PUBLISH_SECONDS` of the store, after which the wake-up would be published again."""
EVENT_PAUSE = 30.0
"""Seconds until an event that was not confirmed is sent again."""


def wake_up_of(job_id: str) -> str:
    """The subject of a job's wake-up."""
    return f"{WAKE_UPS}.{job_id}"


class Dispatcher:
    """Publishes due wake-ups and events."""

    def __init__(self, store: JobStore, jetstream: JetStream) -> None:
        self._store = store
        self._jetstream = jetstream
        self._owner = uuid.uuid4().hex
        self._published: deque[tuple[float, Job]] = deque()
        """With the time of publishing, oldest first."""
        self.ended = asyncio.Event()
        """Set when this process has ended a job, whose event can be sent at once."""

    async def wake(self, job: Job) -> None:
        """Publish a job that was just accepted; after a failure, `dispatch_due` does it a few seconds later."""
        if job.state not in WAITING or not self._jetstream.is_connected:
            return
        try:
            self._published.append((time.monotonic(), await self._publish(job)))
        except Unavailable as exc:
            log.warning("wake_failed", action="dispatch", job_id=job.id, reason=exc.message)

    async def forget(self, job_id: str) -> None:
        """Remove the wake-up of a job that has ended."""
        await self._jetstream.remove(EXPORTS, wake_up_of(job_id))

    async def dispatch_due(self) -> int:
        """Publish the jobs that are due and note which wake-ups are stored; returns how many were published."""
        if not self._jetstream.is_connected:
            return 0
        await self._note_published()
        count = 0
        while jobs := await self._store.due(BATCH):
            published = await loops.for_each("dispatch", jobs, self._publish, concurrency=CONCURRENCY)
            await self._store.dispatched(published)
            count += len(published)
            if len(published) < BATCH:
                break
        return count

    async def _note_published(self) -> None:
        while self._published and time.monotonic() - self._published[0][0] >= NOTE_SECONDS:
            jobs = [self._published.popleft()[1] for _ in range(min(BATCH, len(self._published)))]
            await self._store.dispatched(jobs)

    async def restore_lost(self) -> int:
        """Make every waiting job due again if wake-ups were lost; returns how many jobs that were.

        They are lost when a NATS server loses its store or goes back to an older one: the stream then holds fewer
        messages than there are jobs whose wake-up it has confirmed.
        """
        if not self._jetstream.is_connected:
            return 0
        waiting = await self._store.dispatched_count()
        if not waiting or await self._jetstream.count(EXPORTS) >= waiting:
            return 0
        count = await self._store.dispatch_again()
        log.warning("wake_ups_lost", action="dispatch", waiting=waiting, due=count)
        return count

    async def _publish(self, job: Job) -> Job:
        with tracing.continued(job.traceparent):
            headers = {TENANT_HEADER: job.tenant}
            subject = wake_up_of(job.id)
            await self._jetstream.publish(EXPORTS, subject, job.id.encode(), headers, destination=WAKE_UPS)
        log.debug("dispatched", action="dispatch", job_id=job.id, tenant=job.tenant)
        return job

    async def send_events(self) -> int:
        """Publish unconfirmed events of ended jobs; returns how many."""
        count = 0
        while self._jetstream.is_connected:
            jobs = await self._store.take_events(self._owner, EVENT_PAUSE, BATCH)
            sent = await loops.for_each("events", jobs, self._send_event, concurrency=CONCURRENCY)
            await self._store.events_sent(sent)
            count += len(sent)
            if len(sent) < BATCH:
                break
        return count

    async def _send_event(self, job: Job) -> Job:
        with tracing.continued(job.traceparent):
            for end in job.ends:
                await self._jetstream.publish(EVENTS, f"exports.events.{end.state.value}", _event(job, end))
        return job


def _event(job: Job, end: End) -> bytes:
    event = events_pb2.ExportFinished(
        job_id=job.id,
        tenant=job.tenant,
        state=exporter_pb2.JobState.Value(f"JOB_STATE_{end.state.name}"),
        format=job.format,
        schedule_id=job.schedule_id,
        profile_id=job.profile_id,
        profile_version=job.profile_version,
        total_records=end.rows,
        error_code=end.code,
    )
    event.finished_at.FromDatetime(end.at)
    return event.SerializeToString()
