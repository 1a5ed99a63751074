"""Claims jobs when a wake-up arrives, the tenants in turn, and runs their exports under a lease."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
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
from services.exporter.export.attempt import SMALL_DOCUMENTS, Progress
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
OUTAGE_SECONDS = 20.0
"""How long an export goes on without its lease while MongoDB does not answer: an election takes about 12 s."""
POLL_SECONDS, POLL_IDLE = 1.0, 4.0
"""Between two queries for jobs when no wake-up arrives: what a lost wake-up delays a job by. They become rarer while
there is no job, unless NATS is away, so that no wake-up can arrive."""
SMALL_PER_SLOT = 4
"""How many small exports share a slot."""
ENDING = frozenset({Outcome.COMPLETED, Outcome.FAILED})
"""Outcomes of an attempt that end its job."""


class Worker:
    """Runs up to `slots` exports at a time, and one more of a tenant that has none running here.

    Small exports wait for round trips and for the disk most of the time, so several of them share a slot. An export is
    small once its attempt has asked how many documents there are.

    A wake-up only says that there is work: which tenant's job is claimed is decided by the tenants' turns. If it is
    another job than the message's, the message is put back. A job's message is removed when the job ends, whoever has
    fetched it, so that the consumer's lag is the number of live jobs.

    Args:
        ended: set when a job has ended.
        lease: seconds a job stays claimed after its last heartbeat.
        first_retry: seconds before the second attempt; doubles from there.
    """

    def __init__(
        self,
        store: JobStore,
        jetstream: JetStream,
        changes: JobChanges,
        maker: FileMaker,
        ended: asyncio.Event,
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
        self._ended = ended
        self._slots = slots
        self._lease = lease
        self._running: set[asyncio.Task[Any]] = set()
        self._exports: dict[_Export, float] = {}
        """When each running export began, in monotonic seconds."""
        self._small: set[asyncio.Task[Any]] = set()
        """Those of `running` that are known to be small."""
        self._claims = FairClaims(store.waiting_tenants, lambda tenant, job: store.claim(tenant, owner, lease, job))
        self._newcomer, self._changed = asyncio.Event(), asyncio.Event()
        """A tenant without a running export has a job; this, or an export turned out to be small."""
        self._is_listening = False
        self._polled, self._pause = float("-inf"), POLL_SECONDS
        self._has_more = False
        """The last poll ended because no slot was left."""
        self._leased = LeasedWork[Lease, Progress, FinishedFile](
            store,
            METRICS,
            lease=lease,
            heartbeat=HEARTBEAT_SECONDS,
            first_retry=first_retry,
            max_retry=MAX_RETRY_SECONDS,
            grace=OUTAGE_SECONDS,
        )

    async def run(self) -> None:
        """Claim and export until cancelled; then give every job back, so that another worker can claim it."""
        self._leased.reopen()
        try:
            while True:
                loops.raise_if_cancelled()
                await self._listen()
                if self._occupied() >= self._slots + 1:
                    await self._until_changed()
                elif self._occupied() >= self._slots:
                    await self._fill_last_slot()
                else:
                    message = None if self._has_more else await self._inbox.next()
                    if message is not None:
                        self._polled = time.monotonic()
                        self._start(self._claim_and_export(message, max_running=SMALL_PER_SLOT * self._slots))
                    elif self._has_more or time.monotonic() - self._polled >= self._pause:
                        self._polled = time.monotonic()
                        await asyncio.wait({self._leased.start(self._poll())})
        finally:
            await self._leased.shut_down()

    async def give_up_exhausted(self) -> None:
        """Fail jobs that ended their process at each of their attempts."""
        while (job := await self._store.give_up(ATTEMPTS_EXHAUSTED)) is not None:
            with structlog.contextvars.bound_contextvars(job_id=job.id, tenant=job.tenant):
                self._leased.gave_up(job.format)
            await self._jetstream.remove(EXPORTS, wake_up_of(job.id))

    def seconds_of_work(self) -> float:
        """How long the running exports have run, all together: what is lost if this process stops now."""
        now = time.monotonic()
        return sum(now - began for began in self._exports.values())

    def _start(self, handling: Coroutine[Any, Any, None]) -> None:
        task = self._leased.start(handling)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(self._small.discard)

    def _occupied(self) -> float:
        """How many slots are taken."""
        return len(self._running) - len(self._small) + len(self._small) / SMALL_PER_SLOT

    def _sized(self, task: asyncio.Task[Any] | None, documents: int) -> None:
        if task in self._running and documents <= SMALL_DOCUMENTS:
            self._small.add(task)
            self._changed.set()

    async def _until_changed(self) -> None:
        """Wait until an export ends, or `changed` is set, for a second at most."""
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({changed, *self._running}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        self._changed.clear()

    async def _fill_last_slot(self) -> None:
        """Wait until a tenant without a running export has a job, or a slot becomes free."""
        await self._until_changed()
        is_due = time.monotonic() - self._polled >= POLL_SECONDS
        if self._slots <= self._occupied() < self._slots + 1 and (self._newcomer.is_set() or is_due):
            self._newcomer.clear()
            self._polled = time.monotonic()
            self._start(self._claim_and_export(None, max_running=1))

    async def _poll(self) -> None:
        """Claim without messages, which may be lost or not arrive, until there is no job or no slot left."""
        self._has_more = False
        while self._occupied() < self._slots and not self._leased.is_shutting_down:
            claimed = await self._claims.next(SMALL_PER_SLOT * self._slots)
            is_busy = claimed is not None or not self._jetstream.is_connected
            self._pause = loops.pause_between(self._pause, POLL_SECONDS, POLL_IDLE, found=is_busy)
            if claimed is None:
                return
            self._start(self._export(claimed, None))
        self._has_more = True

    async def _claim_and_export(self, message: Msg | None, *, max_running: int) -> None:
        if message is not None:
            self._note(message)
        preferred = ("", "") if message is None else (_tenant_of(message), _job_of(message))
        claimed = await self._claims.next(max_running, preferred)
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
            elif (seconds := await self._store.seconds_until_due(_job_of(message))) is None:
                await message.ack()
            else:  # it runs elsewhere, or waits for its next attempt
                await message.nak(delay=min(self._lease, max(POLL_SECONDS, seconds)))

    async def _export(self, claimed: Claimed[Lease], message: Msg | None) -> None:
        job = claimed.lease.job
        structlog.contextvars.bind_contextvars(job_id=job.id, tenant=job.tenant, request_id=job.request_id)
        export = _Export(self._maker, job, self._on_size())
        beside = [asyncio.create_task(one) for one in (self._hold(message), self._announce(job.id, export.progress))]
        self._exports[export] = time.monotonic()
        try:
            outcome = await self._leased.run(claim_of(claimed.lease), export)
        finally:
            del self._exports[export]
            for task in beside:
                task.cancel()
            self._claims.ended(claimed)
        await self._changes.announce(job.id)
        if outcome in ENDING:
            self._ended.set()
            await self._remove_wake_up(job.id, message)
        elif message is not None:
            await self._put_back(message, is_needed_now=outcome is Outcome.GIVEN_BACK)

    def _on_size(self) -> Callable[[int], None]:
        """Called by the attempt's thread, notes the size of the export that this task runs."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def note(documents: int) -> None:
            loop.call_soon_threadsafe(self._sized, task, documents)

        return note

    async def _remove_wake_up(self, job_id: str, message: Msg | None) -> None:
        if message is None:
            await self._jetstream.remove(EXPORTS, wake_up_of(job_id))
        else:
            with suppress(*FAULTS):
                await message.ack()

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
            self._changed.set()

    def _note(self, message: Msg) -> bool:
        tenant = _tenant_of(message)
        return tenant != "" and self._claims.arrived(tenant)


def _tenant_of(message: Msg) -> str:
    return (message.headers or {}).get(TENANT_HEADER, "")


def _job_of(message: Msg) -> str:
    return message.subject.rpartition(".")[2]


class _Export:
    """One attempt at one job; its file is made in a thread, which is stopped by an event."""

    def __init__(self, maker: FileMaker, job: Job, on_size: Callable[[int], None]) -> None:
        self.progress = Progress(on_size=on_size)
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
