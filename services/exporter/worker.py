"""Works on jobs: claims one a wake-up, keeps its lease alive beside the export, commits or explains the end."""

import asyncio
import random
import threading
import time
from contextlib import suppress

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge, Histogram

from services.chassis.faults import Unavailable
from services.chassis.jetstream import FAULTS, Inbox
from services.exporter.errors import JobFault
from services.exporter.export import Progress, Stopped
from services.exporter.job_store import JobStore, Lease
from services.exporter.jobs import Notice, retry_delay
from services.exporter.make import FileMaker, Made

log = structlog.get_logger()

RUNNING = Gauge("exporter_jobs_running", "Jobs this worker works on now.")
ENDED = Counter("exporter_attempts_total", "Attempts that ended, by format and outcome.", ["format", "outcome"])
SECONDS = Histogram(
    "exporter_attempt_seconds",
    "Duration of attempts that made a file.",
    ["format"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)

BEAT_SECONDS = 0.5
"""Between two heartbeats: how soon a cancellation is noticed, and how fresh the progress is."""

GIVEN_UP = Notice(
    "attempts_exhausted", "Every attempt ended without a word: its process crashed or was killed. See the worker's log."
)


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
        self._first_retry = first_retry
        self._keep = keep
        self._working: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Fetch and work until cancelled; then every job is given back, so that another worker has it at once."""
        try:
            while True:
                if len(self._working) >= self._slots:
                    await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
                    continue
                message = await self._inbox.next()
                if message is not None:
                    task = asyncio.create_task(self._handle(message))
                    self._working.add(task)
                    task.add_done_callback(self._working.discard)
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _handle(self, message: Msg) -> None:
        job_id = message.data.decode(errors="replace")
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            try:
                lease = await self._store.claim(job_id, self._owner, self._lease)
                if lease is None:
                    await self._store.give_up(job_id, GIVEN_UP)
                else:
                    await self._work(lease, message)
            except Unavailable as exc:
                # Its lease runs out, or the outbox wakes it again: nothing to undo here.
                log.warning("work_interrupted", action="work", reason=exc.message)
            except Exception:
                log.exception("work_failed", action="work")
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
        RUNNING.inc()
        try:
            made = await asyncio.shield(making)
            beating.cancel()
            await self._commit(lease, made)
            SECONDS.labels(job.format).observe(time.monotonic() - started)
        except Stopped:
            ENDED.labels(job.format, "stopped").inc()
            log.info("job_stopped", action="work")
        except JobFault as exc:
            beating.cancel()
            await self._explain(lease, exc)
        except asyncio.CancelledError:
            stop.set()
            beating.cancel()
            await asyncio.wait([making], timeout=5.0)
            await self._store.give_back(lease)
            log.info("job_given_back", action="work")
            raise
        finally:
            stop.set()
            beating.cancel()
            RUNNING.dec()

    async def _beat(self, lease: Lease, message: Msg, progress: Progress, stop: threading.Event) -> None:
        """Renew the lease until cancelled; set `stop` once it is lost, or could not be renewed for its whole length."""
        renewed = touched = time.monotonic()
        while not stop.is_set():
            await asyncio.sleep(min(BEAT_SECONDS, self._lease / 3))
            now = time.monotonic()
            try:
                held = await self._store.heartbeat(
                    lease,
                    seconds=self._lease,
                    stage=progress.stage.value,
                    processed=progress.processed,
                    total=progress.total,
                )
                renewed = now
            except Unavailable:
                held = now - renewed < self._lease
            if not held:
                log.info("lease_lost", action="beat")
                stop.set()
            elif now - touched > self._lease / 3:
                touched = now
                with suppress(*FAULTS):
                    await message.in_progress()

    async def _commit(self, lease: Lease, made: Made) -> None:
        job = lease.job
        committed = await self._store.complete(
            lease, made.artifact, records=dict(made.records), warnings=made.warnings, keep=self._keep
        )
        ENDED.labels(job.format, "completed" if committed else "fenced").inc()
        if committed:
            log.info("job_completed", action="commit", rows=sum(made.records.values()), bytes=made.artifact.size)
        else:
            log.warning("commit_fenced", action="commit", fence=job.fence)
            await self._maker.discard(made)

    async def _explain(self, lease: Lease, fault: JobFault) -> None:
        job = lease.job
        error = Notice(fault.code, fault.message)
        log.warning("attempt_failed", action="work", code=fault.code, reason=fault.message, passing=fault.passing)
        if fault.passing and job.attempt < job.max_attempts:
            delay = retry_delay(job.attempt, self._first_retry, random.random())  # noqa: S311  jitter
            await self._store.wait_for_retry(lease, error, delay)
            ENDED.labels(job.format, "retried").inc()
        else:
            await self._store.fail(lease, error)
            ENDED.labels(job.format, "failed").inc()
