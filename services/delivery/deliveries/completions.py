"""Hears of completed jobs: from events, at once, and once a minute from the exporter itself, so that none is missed."""

from datetime import UTC, datetime, timedelta

import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from services.chassis.jetstream import Inbox, Stream
from services.chassis.mongo import Database, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW
from services.delivery.deliveries.fan_out import FanOut
from services.delivery.exporter_client import ExporterClient
from services.wire import events_pb2
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

# As in the exporter, which publishes them; whoever comes first makes the stream.
EVENTS = Stream("EXPORT_EVENTS", "exports.events.*", work_queue=False)
ACK_WAIT = 30.0


class Watermark:
    """The time of the last completion seen, for all replicas; the first start of all is the beginning."""

    def __init__(self, database: Database) -> None:
        self._marks = database["watermarks"]

    @translate_errors
    async def prepare(self) -> None:
        """Begin now, if there is no beginning yet."""
        await self.get()

    @translate_errors
    async def get(self) -> datetime:
        """The time."""
        at: datetime = (await insert_or_get(self._marks, {"_id": "completions"}, {"at": NOW}))["at"]
        return at

    @translate_errors
    async def raise_to(self, at: datetime) -> None:
        """Move it forward, never back."""
        await self._marks.update_one({"_id": "completions"}, {"$max": {"at": at}}, upsert=True)


class Completions:
    """Both ways to hear of completed jobs.

    Args:
        lookback: seconds before the watermark that are asked for again: a completion becomes visible a little after its
            time, and clocks differ.
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
        """Take one event; to be called for ever."""
        await self._inbox.take(self._hear)

    async def reconcile(self) -> int:
        """Ask the exporter for what the events may have missed; returns how many deliveries that made."""
        made = 0
        since = await self._watermark.get()
        async for job in self._exporter.completions(since - self._lookback):
            made += await self._made(job)
            await self._watermark.raise_to(job.finished_at.ToDatetime(UTC))
        if made:
            log.info("reconciled", action="reconcile", deliveries=made)
        return made

    async def _hear(self, message: Msg) -> None:
        event = events_pb2.ExportFinished()
        try:
            event.ParseFromString(message.data)
        except DecodeError:
            log.warning("event_unreadable", action="listen", subject=message.subject)
            return
        if event.state != "completed":
            return
        job = await self._exporter.job(event.tenant, event.job_id)
        if job is not None:
            await self._made(job)

    async def _made(self, job: pb.Job) -> int:
        return await self._fan_out.of(job) if job.state == pb.JOB_STATE_COMPLETED else 0
