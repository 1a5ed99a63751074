"""Works on jobs: claims one a wake-up, keeps its lease alive beside the export, commits or explains the end."""

import asyncio
import threading
import time
from contextlib import suppress

import structlog
from nats.aio.msg import Msg

from services.chassis import loops
from services.chassis.backoff import Retries
from services.chassis.faults import ErrorInfo, Unavailable
from services.chassis.jetstream import FAULTS, Inbox
from services.chassis.telemetry import tracing
from services.exporter.errors import JobFault
from services.exporter.export import outcomes as attempts
from services.exporter.export.attempt import Progress
from services.exporter.export.file_maker import FileMaker, Made
from services.exporter.jobs.store import JobStore, Lease
from services.exporter.prefetch import Stopped

log = structlog.get_logger()

BEAT_SECONDS = 0.5
"""Between two heartbeats: how soon a cancellation is noticed, and how fresh the progress is."""

GOODBYE_SECONDS = 10.0
"""What all jobs together have to be given back when the process leaves; an export has half of it to notice."""

LONGEST_RETRY = 300.0
"""Seconds between two attempts, at most."""

GIVEN_UP = ErrorInfo(
    "attempts_exhausted", "Every attempt ended without a word: its process crashed or was killed. See the worker's log."
)
BROKEN = JobFault("internal_error", "The export failed unexpectedly; the worker's log says why.", transient=True)


class Worker:
    """Up to `slots` jobs at a time, from one inbox.

    Args:
        lease: seconds a job stays ours after the last heartbeat.
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
        keep: float,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._maker = maker
        self._owner = owner
        self._slots = slots
        self._lease = lease
        self._retries = Retries(first_retry, LONGEST_RETRY)
        self._keep = keep
        self._working: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Fetch and work until cancelled; then every job is given back, so that another worker has it at once."""
        self._leaving.clear()
        try:
            while True:
                loops.heed_cancellation()
                if len(self._working) >= self._slots:
                    await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
                    continue
                message = await self._inbox.next()
                if message is not None:
                    task = asyncio.create_task(self._handle(message))
                    self._working.add(task)
                    task.add_done_callback(self._working.discard)
        finally:
            # The jobs are told, not cancelled: a claim or a commit on its way to MongoDB has to be seen to its end.
            self._leaving.set()
            if self._working:
                await asyncio.wait(self._working, timeout=GOODBYE_SECONDS)

    async def _handle(self, message: Msg) -> None:
        job_id = message.data.decode(errors="replace")
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            try:
                lease = await self._store.claim(job_id, self._owner, self._lease)
                if lease is not None:
                    with attempts.claimed(lease.job):
                        await self._work(lease, message)
                elif (job := await self._store.give_up(job_id, GIVEN_UP)) is not None:
                    attempts.FAILURES.labels(job.format, GIVEN_UP.code).inc()
            except Unavailable as exc:
                # Its lease runs out, or the outbox wakes it again: nothing to undo here.
                log.warning("work_interrupted", action="work", reason=exc.message)
            except Exception:
                log.exception("work_failed", action="work")
            # Also when the job was not to be had: whoever holds it, its `dispatch_at` is the end of that lease.
            with suppress(*FAULTS):
                await message.ack()

    async def _work(self, lease: Lease, message: Msg) -> None:
        job = lease.job
        structlog.contextvars.bind_contextvars(tenant=job.tenant, request_id=job.request_id)
        log.info("job_claimed", action="claim", attempt=job.attempt, fence=job.fence)
        progress, stop, started = Progress(), threading.Event(), time.monotonic()
        making = asyncio.create_task(self._maker.make(job, progress, stop))
        making.add_done_callback(lambda task: task.cancelled() or task.exception())  # also when nobody waits any more
        beating = asyncio.create_task(self._beat(lease, message, progress, stop))
        attempts.RUNNING.inc()
        try:
            await self._wait(making, stop)
            beating.cancel()
            await self._conclude(lease, making, started)
        finally:
            stop.set()
            beating.cancel()
            attempts.RUNNING.dec()

    async def _wait(self, making: asyncio.Task[Made], stop: threading.Event) -> None:
        """Until the file is made, or this process leaves and the export had time to notice."""
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait([making, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not making.done():
            stop.set()
            await asyncio.wait([making], timeout=GOODBYE_SECONDS / 2)

    async def _conclude(self, lease: Lease, making: asyncio.Task[Made], started: float) -> None:
        """Bring the job to where this attempt has left it."""
        try:
            made = making.result()
        except (Stopped, asyncio.InvalidStateError):  # InvalidStateError: it is still running
            await self._let_go(lease)
        except JobFault as fault:
            await self._explain(lease, fault)
        except Unavailable:
            raise
        except Exception:
            log.exception("attempt_broken", action="work")
            await self._explain(lease, BROKEN)
        else:
            await self._commit(lease, made, time.monotonic() - started)

    async def _let_go(self, lease: Lease) -> None:
        given_back = self._leaving.is_set() and await self._store.give_back(lease)
        attempts.ended(lease.job, "given_back" if given_back else "stopped")
        log.info("job_given_back" if given_back else "job_stopped", action="work")

    async def _beat(self, lease: Lease, message: Msg, progress: Progress, stop: threading.Event) -> None:
        """Renew the lease until cancelled; set `stop` once it is lost, or could not be renewed for its whole length."""
        renewed = touched = time.monotonic()
        while not stop.is_set():
            await asyncio.sleep(min(BEAT_SECONDS, self._lease / 3))
            now = time.monotonic()
            try:
                held, reason = await self._renewed(lease, progress), "gone"
                renewed = now
            except Exception as exc:  # noqa: BLE001  whatever it was, the lease must not be left without a beat
                held, reason = now - renewed < self._lease, "unrenewed"
                log.warning("beat_failed", action="beat", reason=repr(exc)[:500])
            if not held:
                attempts.LOST.labels(reason).inc()
                log.info("lease_lost", action="beat", why=reason)
                stop.set()
            elif now - touched > self._lease / 3:
                touched = now
                with suppress(*FAULTS):
                    await message.in_progress()

    async def _renewed(self, lease: Lease, progress: Progress) -> bool:
        return await self._store.heartbeat(
            lease,
            seconds=self._lease,
            stage=progress.stage.value,
            processed=progress.processed,
            total=progress.total,
        )

    async def _commit(self, lease: Lease, made: Made, seconds: float) -> None:
        job = lease.job
        rows = sum(made.records.values())
        with tracing.span("commit"):
            committed = await self._store.complete(
                lease, made.artifact, records=dict(made.records), warnings=made.warnings, keep=self._keep
            )
        attempts.ended(job, "completed" if committed else "fenced", rows=rows, bytes=made.artifact.size)
        if committed:
            attempts.SECONDS.labels(job.format).observe(seconds)
            log.info("job_completed", action="commit", rows=rows, bytes=made.artifact.size)
        else:
            log.warning("commit_fenced", action="commit", fence=job.fence)
            await self._maker.discard(made)

    async def _explain(self, lease: Lease, fault: JobFault) -> None:
        job = lease.job
        error = ErrorInfo(fault.code, fault.message)
        tracing.failed(fault.code)
        log.warning("attempt_failed", action="work", code=fault.code, reason=fault.message, transient=fault.transient)
        outcome = await self._retries.conclude(
            self._store, lease, error, attempt=job.attempt, most=job.max_attempts, transient=fault.transient
        )
        attempts.ended(job, outcome)
        if outcome == "fenced":
            # Cancelled, or somebody else's; a sweep that took the unfinished file away may be what has failed it.
            log.info("failure_fenced", action="work", fence=job.fence)
        elif outcome == "failed":
            attempts.FAILURES.labels(job.format, fault.code).inc()
