"""Claims jobs when a wake-up arrives, the tenants in turn, and runs their exports under a lease."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import structlog
from nats.aio.msg import Msg

from services.chassis import loops
from services.chassis.faults import Unavailable
from services.chassis.jetstream import FAULTS, Inbox, JetStream
from services.chassis.leasing.fair_claims import Claimed, FairClaims
from services.chassis.leasing.leased_work import LeasedWork
from services.chassis.leasing.leases import ATTEMPTS_EXHAUSTED, Outcome
from services.chassis.telemetry.tracing import Attribute
from services.exporter.export.attempt import Progress
from services.exporter.export.file_maker import FileMaker
from services.exporter.export.outcomes import METRICS, SECONDS, claim_of
from services.exporter.jobs.changes import JobChanges
from services.exporter.jobs.dispatch import EXPORTS, TENANT_HEADER, wake_up_of
from services.exporter.jobs.job import FinishedFile, Job
from services.exporter.jobs.store import JobStore, Lease

log = structlog.get_logger()

CONSUMER = "export-workers"
"""The durable consumer that all workers share; its lag is what autoscaling reads."""
HEARTBEAT_SECONDS = 0.5
"""Between two heartbeats: how soon a cancellation is noticed, and how fresh the progress is."""
ANNOUNCE_SECONDS = 2 * HEARTBEAT_SECONDS
MAX_RETRY_SECONDS = 300.0
POLL_SECONDS = 1.0
"""Between two queries for jobs when no wake-up arrives: what a lost wake-up delays a job by."""
ENDING = frozenset({Outcome.COMPLETED, Outcome.FAILED})
"""Outcomes of an attempt that end its job."""


class Worker:
    """Runs up to `slots` exports at a time, and one more of a tenant that has none running here.

    A wake-up only says that there is work: which job is claimed is decided by the tenants' turns. If that is another
    one, the message is put back. A job's message is removed when the job ends, whoever has fetched it, so that the
    consumer's lag is the number of live jobs.

    Args:
        lease: seconds a job stays claimed after its last heartbeat.
        first_retry: seconds before the second attempt; doubles from there.
    """

    def __init__(
        self,
        store: JobStore,
        jetstream: JetStream,
        changes: JobChanges,
        maker: FileMaker,
        *,
        owner: str,
        slots: int,
        lease: float,
        first_retry: float,
    ) -> None:
        self._store = store
        self._jetstream = jetstream
        self._changes = changes
        self._inbox = Inbox(jetstream, EXPORTS, CONSUMER, ack_wait=lease)
        self._maker = maker
        self._slots = slots
        self._lease = lease
        self._running: set[asyncio.Task[None]] = set()
        self._claims = FairClaims(store.waiting_tenants, lambda tenant: store.claim(tenant, owner, lease))
        self._newcomer = asyncio.Event()
        self._is_listening = False
        self._polled = 0.0
        self._leased = LeasedWork[Lease, Progress, FinishedFile](
            store,
            METRICS,
            lease=lease,
            heartbeat=HEARTBEAT_SECONDS,
            first_retry=first_retry,
            max_retry=MAX_RETRY_SECONDS,
        )

    async def run(self) -> None:
        """Claim and export until cancelled; then give every job back, so that another worker can claim it."""
        self._leased.reopen()
        try:
            while True:
                loops.raise_if_cancelled()
                await self._listen()
                if len(self._running) > self._slots:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                elif len(self._running) == self._slots:
                    await self._fill_last_slot()
                else:
                    message = await self._inbox.next()
                    if message is not None or time.monotonic() - self._polled >= POLL_SECONDS:
                        self._polled = time.monotonic()
                        self._start(self._claim_and_export(message, max_running=self._slots))
        finally:
            await self._leased.shut_down()

    async def give_up_exhausted(self) -> None:
        """Fail jobs that ended their process at each of their attempts."""
        while (job := await self._store.give_up(ATTEMPTS_EXHAUSTED)) is not None:
            with structlog.contextvars.bound_contextvars(job_id=job.id, tenant=job.tenant):
                self._leased.gave_up(job.format)
            await self._jetstream.remove(EXPORTS, wake_up_of(job.id))

    def _start(self, handling: Coroutine[Any, Any, None]) -> None:
        task = self._leased.start(handling)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _fill_last_slot(self) -> None:
        """Wait until a tenant without a running export has a job, or a slot becomes free."""
        newcomer = asyncio.create_task(self._newcomer.wait())
        try:
            await asyncio.wait({newcomer, *self._running}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            newcomer.cancel()
        self._newcomer.clear()
        if len(self._running) == self._slots:
            self._start(self._claim_and_export(None, max_running=1))

    async def _claim_and_export(self, message: Msg | None, *, max_running: int) -> None:
        if message is not None:
            self._note(message)
        claimed = await self._claims.next(max_running)
        if message is not None and (claimed is None or _job_of(message) != claimed.lease.job.id):
            await self._put_back(message, is_needed_now=claimed is not None)
            message = None
        if claimed is not None:
            await self._export(claimed, message)

    async def _put_back(self, message: Msg, *, is_needed_now: bool) -> None:
        """Leave the message to the worker that will claim its job, or remove it if the job has ended."""
        with suppress(*FAULTS, Unavailable):
            if is_needed_now:
                await message.nak()
            elif await self._store.is_live(_job_of(message)):  # it runs elsewhere, or waits for its next attempt
                await message.nak(delay=self._lease)
            else:
                await message.ack()

    async def _export(self, claimed: Claimed[Lease], message: Msg | None) -> None:
        job = claimed.lease.job
        structlog.contextvars.bind_contextvars(job_id=job.id, tenant=job.tenant, request_id=job.request_id)
        export = _Export(self._maker, job)
        beside = [asyncio.create_task(one) for one in (self._hold(message), self._announce(job.id, export.progress))]
        try:
            outcome = await self._leased.run(claim_of(claimed.lease), export)
        finally:
            for task in beside:
                task.cancel()
            self._claims.ended(claimed)
        await self._changes.announce(job.id)
        if outcome in ENDING:
            await self._jetstream.remove(EXPORTS, wake_up_of(job.id))
        elif message is not None:
            await self._put_back(message, is_needed_now=outcome is Outcome.GIVEN_BACK)

    async def _hold(self, message: Msg | None) -> None:
        """Keep JetStream from delivering the message again."""
        while message is not None:
            await asyncio.sleep(self._lease / 3)
            with suppress(*FAULTS):
                await message.in_progress()

    async def _announce(self, job_id: str, progress: Progress) -> None:
        """Tell those who wait for the job about its progress, after the heartbeats that store it."""
        announced = 0
        while True:
            await asyncio.sleep(ANNOUNCE_SECONDS)
            if progress.processed != announced:
                announced = progress.processed
                await self._changes.announce(job_id)

    async def _listen(self) -> None:
        """Hear of wake-ups also while no slot is free to fetch them."""
        if self._is_listening or not self._jetstream.is_connected:
            return
        try:
            await self._jetstream.listen(EXPORTS.subjects, self._hear)
            self._is_listening = True
        except Unavailable as exc:
            log.warning("listen_failed", action="work", reason=exc.message)

    async def _hear(self, message: Msg) -> None:
        if self._note(message):
            self._newcomer.set()

    def _note(self, message: Msg) -> bool:
        tenant = (message.headers or {}).get(TENANT_HEADER)
        return tenant is not None and self._claims.arrived(tenant)


def _job_of(message: Msg) -> str:
    return message.subject.rpartition(".")[2]


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
