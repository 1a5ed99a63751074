"""Finds completed jobs: from events, and once a minute from the exporter, so that a lost event is only late."""

from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.msg import Msg
from pymongo import ReturnDocument

from services.chassis.jetstream import Inbox
from services.chassis.mongo import Database, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW
from services.delivery.deliveries.fan_out import FanOut
from services.delivery.exporter_client import ExporterClient
from services.export_events import parse_event
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()


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
    """Fans out completed jobs from both sources.

    Args:
        lookback: seconds before the watermark that are queried again: a completion becomes visible a little later than
            its time, and clocks differ.
    """

    def __init__(
        self, exporter: ExporterClient, fan_out: FanOut, watermark: Watermark, inbox: Inbox, *, lookback: float
    ) -> None:
        self._exporter = exporter
        self._fan_out = fan_out
        self._watermark = watermark
        self._inbox = inbox
        self._lookback = timedelta(seconds=lookback)

    async def listen(self) -> None:
        """Handle one event; called in a loop."""
        await self._inbox.take(self._handle)

    async def reconcile(self) -> int:
        """Fan out the exporter's recent completions; returns the number of new deliveries."""
        created = 0
        now = datetime.now(UTC)
        since = await self._watermark.begin(now)
        async for file in self._exporter.completions(since - self._lookback):
            if not await self._fan_out.is_done(file):
                created += await self._fan_out_completed(file)
            await self._watermark.advance(file.job.finished_at.ToDatetime(UTC), now)
        if created:
            log.info("reconciled", action="reconcile", deliveries=created)
        return created

    async def _handle(self, message: Msg) -> None:
        event = parse_event(message)
        if event is None or event.state != pb.JOB_STATE_COMPLETED:
            return
        file = await self._exporter.job_file(event.tenant, event.job_id)
        if file is not None:
            await self._fan_out_completed(file)

    async def _fan_out_completed(self, file: pb.JobFile) -> int:
        return await self._fan_out.create_deliveries(file) if file.job.state == pb.JOB_STATE_COMPLETED else 0
