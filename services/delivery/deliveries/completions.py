"""Finds ended jobs: from events, and once a minute from the exporter, so that a lost event is only late.

Each end becomes an event of the tenant; a completed job is also fanned out to platforms.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.msg import Msg
from pymongo import ReturnDocument

from services.chassis.faults import Unavailable
from services.chassis.jetstream import Inbox
from services.chassis.mongo import Database, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW
from services.delivery.deliveries.fan_out import FanOut
from services.delivery.exporter_client import ExporterClient
from services.delivery.webhooks.event import Event, EventType, event
from services.delivery.webhooks.relay import Relay
from services.export_events import parse_event
from services.wire import exporter_pb2 as pb
from services.wire.events_pb2 import ExportFinished

log = structlog.get_logger()

TYPES = {
    pb.JOB_STATE_COMPLETED: EventType.EXPORT_COMPLETED,
    pb.JOB_STATE_FAILED: EventType.EXPORT_FAILED,
    pb.JOB_STATE_CANCELLED: EventType.EXPORT_CANCELLED,
}
MAX_EVENTS = 50
"""Handled together; as many as the exporter returns at once."""


class Watermark:
    """Up to which time completions have been seen by any replica; initially the first start.

    The times of completions come from the clock of MongoDB's primary, which may be wrong, and which is another one
    after a failover. A watermark that is too late hides completions; one that is too early only repeats queries.
    Therefore it is never later than two other clocks: the one of this process, and the one of the primary now.
    """

    def __init__(self, database: Database) -> None:
        self._marks = database["watermarks"]

    @translate_errors
    async def prepare(self) -> None:
        """Start at the current time, unless a time is stored."""
        await self.get()

    @translate_errors
    async def get(self) -> datetime:
        """The stored time."""
        at: datetime = (await insert_or_get(self._marks, {"_id": "completions"}, {"at": NOW}))["at"]
        return at

    @translate_errors
    async def begin(self, now: datetime) -> datetime:
        """The stored time, after moving it back if it is later than `now` or than the primary's clock."""
        await self.get()
        bounded = {"$set": {"at": {"$min": ["$at", NOW, now]}}}
        found = await self._marks.find_one_and_update(
            {"_id": "completions"}, [bounded], return_document=ReturnDocument.AFTER
        )
        at: datetime = found["at"]
        return at

    @translate_errors
    async def advance(self, at: datetime, now: datetime) -> None:
        """Store a later time, but none later than `now`; an earlier one changes nothing.

        Args:
            now: the time of this process when it began to query.
        """
        await self._marks.update_one({"_id": "completions"}, {"$max": {"at": min(at, now)}}, upsert=True)


class Completions:
    """Records the ends of jobs and fans out those that completed, from both sources.

    Args:
        lookback: seconds before the watermark that are queried again: a completion becomes visible a little later than
            its time, and clocks differ.
    """

    def __init__(
        self,
        exporter: ExporterClient,
        fan_out: FanOut,
        relay: Relay,
        watermark: Watermark,
        inbox: Inbox,
        *,
        lookback: float,
    ) -> None:
        self._exporter = exporter
        self._relay = relay
        self._fan_out = fan_out
        self._watermark = watermark
        self._inbox = inbox
        self._lookback = timedelta(seconds=lookback)

    async def listen(self) -> None:
        """Handle the events that wait; called in a loop."""
        await self._inbox.take_batch(self._handle, MAX_EVENTS)

    async def reconcile(self) -> int:
        """Record and fan out the exporter's recently ended jobs; returns the number of new deliveries."""
        created = 0
        now = datetime.now(UTC)
        since = await self._watermark.begin(now)
        async for files in self._exporter.ended_jobs(since - self._lookback):
            await self._relay.record(_ends_of_jobs(_end(file.job) for file in files))
            for file in files:
                if file.job.state == pb.JOB_STATE_COMPLETED and not await self._fan_out.is_done(file):
                    created += await self._fan_out.create_deliveries(file)
                await self._watermark.advance(file.job.finished_at.ToDatetime(UTC), now)
        if created:
            log.info("reconciled", action="reconcile", deliveries=created)
        return created

    async def _handle(self, messages: Sequence[Msg]) -> None:
        events = [event for message in messages if (event := parse_event(message)) is not None]
        await self._relay.record(_ends_of_jobs(events))
        ended = {(event.tenant, event.job_id) for event in events if event.state == pb.JOB_STATE_COMPLETED}
        if not ended:
            return
        files = [file for file in await self._exporter.job_files(ended) if file.job.state == pb.JOB_STATE_COMPLETED]
        without = await self._fan_out.settle_without_platforms(files)
        others = [self._fan_out.create_deliveries(file) for file in files if file.job.id not in without]
        for result in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        with suppress(Unavailable):  # only spares the gateway a question
            await self._exporter.note_deliveries(
                [file.job for file in files if file.job.id in without], has_deliveries=False
            )


def _end(job: pb.Job) -> ExportFinished:
    """The end of a job in the form of its event."""
    return ExportFinished(
        job_id=job.id,
        tenant=job.tenant,
        format=job.format,
        schedule_id=job.schedule_id,
        profile_id=job.profile_id,
        profile_version=job.profile_version,
        finished_at=job.finished_at,
        # Its file has been removed since.
        state=pb.JOB_STATE_COMPLETED if job.state == pb.JOB_STATE_EXPIRED else job.state,
        total_records=sum(job.records.values()),
        error_code=job.error.code,
    )


def _ends_of_jobs(ends: Iterable[ExportFinished]) -> list[Event]:
    return [
        event(
            TYPES[end.state],
            end.tenant,
            end.job_id,
            end.finished_at.ToDatetime(UTC),
            {
                "job_id": end.job_id,
                "status": TYPES[end.state].value.removeprefix("export."),
                "format": end.format,
                "schedule_id": end.schedule_id or None,
                "profile_id": end.profile_id or None,
                "profile_version": end.profile_version or None,
                "total_records": end.total_records if end.state == pb.JOB_STATE_COMPLETED else None,
                "error_code": end.error_code or None,
            },
        )
        for end in ends
        if end.state in TYPES
    ]
