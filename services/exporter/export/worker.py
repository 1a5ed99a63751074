"""Claims jobs, one per wake-up message, and runs their exports under a lease."""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

import structlog
from nats.aio.msg import Msg

from services.chassis import loops
from services.chassis.jetstream import FAULTS, Inbox
from services.chassis.leased_work import LeasedWork
from services.chassis.leases import ATTEMPTS_EXHAUSTED
from services.chassis.telemetry.tracing import Attribute
from services.exporter.export.attempt import Progress
from services.exporter.export.file_maker import FileMaker
from services.exporter.export.outcomes import METRICS, SECONDS, claim_of
from services.exporter.jobs.job import FinishedFile, Job
from services.exporter.jobs.store import JobStore, Lease

HEARTBEAT_SECONDS = 0.5
"""Between two heartbeats: how soon a cancellation is noticed, and how fresh the progress is."""
MAX_RETRY_SECONDS = 300.0


class Worker:
    """Runs up to `slots` exports at a time.

    Args:
        lease: seconds a job stays claimed after its last heartbeat.
        first_retry: seconds before the second attempt; doubles from there.
    """

    def __init__(
        self,
        store: JobStore,
        inbox: Inbox,
        maker: FileMaker,
        *,
        owner: str,
        slots: int,
        lease: float,
        first_retry: float,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._maker = maker
        self._owner = owner
        self._slots = slots
        self._lease = lease
        self._running: set[asyncio.Task[None]] = set()
        self._leased = LeasedWork[Lease, Progress, FinishedFile](
            store,
            METRICS,
            lease=lease,
            heartbeat=HEARTBEAT_SECONDS,
            first_retry=first_retry,
            max_retry=MAX_RETRY_SECONDS,
        )

    async def run(self) -> None:
        """Take messages until cancelled; then give every job back, so that another worker can claim it."""
        self._leased.reopen()
        try:
            while True:
                loops.raise_if_cancelled()
                if len(self._running) >= self._slots:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                    continue
                message = await self._inbox.next()
                if message is not None:
                    task = self._leased.start(self._handle(message))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
        finally:
            await self._leased.shut_down()

    async def _handle(self, message: Msg) -> None:
        job_id = message.data.decode(errors="replace")
        structlog.contextvars.bind_contextvars(job_id=job_id)
        try:
            lease = await self._store.claim(job_id, self._owner, self._lease)
            if lease is not None:
                await self._export(lease, message)
            elif (job := await self._store.give_up(job_id, ATTEMPTS_EXHAUSTED)) is not None:
                self._leased.gave_up(job.format)
        finally:
            # Also when nothing was claimed: a job that is held by another worker is due when its lease ends.
            with suppress(*FAULTS):
                await message.ack()

    async def _export(self, lease: Lease, message: Msg) -> None:
        structlog.contextvars.bind_contextvars(tenant=lease.job.tenant, request_id=lease.job.request_id)
        holding = asyncio.create_task(self._hold(message))
        try:
            await self._leased.run(claim_of(lease), _Export(self._maker, lease.job))
        finally:
            holding.cancel()

    async def _hold(self, message: Msg) -> None:
        """Keep JetStream from delivering the message again."""
        while True:
            await asyncio.sleep(self._lease / 3)
            with suppress(*FAULTS):
                await message.in_progress()


class _Export:
    """One attempt at one job; its file is made in a thread, which is stopped by an event."""

    def __init__(self, maker: FileMaker, job: Job) -> None:
        self.progress = Progress()
        self._maker = maker
        self._job = job

    async def run(self) -> FinishedFile:
        stop = threading.Event()
        making = asyncio.create_task(self._maker.make(self._job, self.progress, stop))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            stop.set()
            return await making

    def completed(self, file: FinishedFile, seconds: float) -> Mapping[str, Attribute]:
        SECONDS.labels(self._job.format).observe(seconds)
        return {"rows": sum(file.records.values()), "bytes": file.artifact.size}

    async def discard(self, file: FinishedFile) -> None:
        await self._maker.discard(file)
