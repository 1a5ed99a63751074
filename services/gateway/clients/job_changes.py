"""Waits for jobs on behalf of any number of REST clients.

One stream from the exporter tells of all changes. A job that changes is read once, however many clients wait for it. A
change may be missed, so all jobs that somebody waits for are compared with the exporter's from time to time, many with
one call.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import grpc
import structlog

from services.chassis.faults import Fault, Unavailable
from services.gateway.clients.exporter import MAX_BATCH, ExporterClient
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

log = structlog.get_logger()

MAX_WAITING = 20_000
"""Clients that wait at this process; others are answered at once."""
RECONNECT_SECONDS = 0.5
RECHECK_SECONDS = 15.0
"""Between two comparisons of all jobs that somebody waits for."""
LIVE = frozenset({pb.JOB_STATE_ACCEPTED, pb.JOB_STATE_RUNNING, pb.JOB_STATE_RETRY_WAIT})


class _Waiter:
    """Like an `asyncio.Event` for one task and with a time limit, but without a task of its own for that.

    Thousands of them are set at once when a job ends.
    """

    __slots__ = ("_future", "_is_set")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._is_set = False

    def set(self) -> None:
        """End the wait, or the next one."""
        self._is_set = True
        self._end()

    async def wait(self, seconds: float) -> None:
        """Wait until it is set, at most so long. It is not set any more afterwards."""
        if not self._is_set:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(seconds, self._end)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        self._is_set = False

    def _end(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


@dataclass(slots=True)
class _Watched:
    """A job that clients wait for.

    Args:
        latest: the job as it was last read.
        fault: why it cannot be read any more, such as its deletion.
        is_outdated: it may have changed since its reading began.
    """

    latest: pb.Job
    fault: Fault | None = None
    waiting: set[_Waiter] = field(default_factory=set)
    is_outdated: bool = False
    reading: asyncio.Task[None] | None = None


class JobChanges:
    """Which clients wait for which job. `run` hears of the changes."""

    def __init__(self, channel: grpc.aio.Channel, exporter: ExporterClient) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._exporter = exporter
        self._watched: dict[str, _Watched] = {}
        self._count = 0
        self._is_leaving = False
        self._must_compare = asyncio.Event()

    async def run(self) -> None:
        """Hear of changes until cancelled; after an interruption, all jobs are compared."""
        comparing = asyncio.create_task(self._compare_all())
        try:
            while True:
                with suppress(grpc.aio.AioRpcError):
                    async for changed in self._stub.WatchChanges(pb.WatchChangesRequest()):
                        if changed.job_ids and not changed.is_incomplete:
                            for job_id in changed.job_ids:
                                self._read(job_id)
                        else:
                            self._must_compare.set()
                await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            comparing.cancel()

    def leave(self) -> None:
        """Answer those who wait now, and from now on at once: the process is stopping."""
        self._is_leaving = True
        for watched in self._watched.values():
            _wake(watched)

    async def ended(self, job: pb.Job, seconds: float) -> pb.Job:
        """The job once it has ended, or as it is after `seconds`.

        Raises:
            Fault: it has been deleted.
        """
        until = time.monotonic() + seconds
        with self._waits_for(job) as (watched, change):
            while job.state in LIVE and await self._changed(change, until):
                job = _latest(watched)
        return job

    async def states(self, job: pb.Job, pause: float) -> AsyncGenerator[pb.Job | None]:
        """The job now and after its changes until it has ended; None after at most `pause` seconds without one.

        It ends early if this process stops, or if too many clients wait; the client may come again.

        Raises:
            Fault: as `ExporterClient.get`.
        """
        yield job
        with self._waits_for(job) as (watched, change):
            while job.state in LIVE and await self._changed(change, time.monotonic() + pause):
                found = _latest(watched)
                yield None if found is job or found == job else found
                job = found

    @contextmanager
    def _waits_for(self, job: pb.Job) -> Iterator[tuple[_Watched, _Waiter | None]]:
        """The job, and a waiter that is set when it may have changed; None if too many wait already."""
        if self._count >= MAX_WAITING:
            yield _Watched(job), None
            return
        watched = self._watched.get(job.id)
        change = _Waiter()
        if watched is None:
            watched = self._watched[job.id] = _Watched(job)
            self._read(job.id)  # it may have changed since the caller has read it
        elif watched.latest != job:
            change.set()
        self._count += 1
        watched.waiting.add(change)
        try:
            yield watched, change
        finally:
            self._count -= 1
            watched.waiting.discard(change)
            if not watched.waiting and self._watched.get(job.id) is watched:
                del self._watched[job.id]

    async def _changed(self, change: _Waiter | None, until: float) -> bool:
        """Wait until there may be a change; false when this process stops, or at `until` for those who wait no longer.

        A pause of `states` ends without a change.
        """
        left = until - time.monotonic()
        if change is None or self._is_leaving or left <= 0:
            return False
        await change.wait(left)
        return True

    def _read(self, job_id: str) -> None:
        """Read a job that may have changed, if anybody waits for it, and wake those who do."""
        watched = self._watched.get(job_id)
        if watched is None:
            return
        watched.is_outdated = True
        if watched.reading is None:
            watched.reading = asyncio.create_task(self._read_until_current(watched))

    async def _read_until_current(self, watched: _Watched) -> None:
        job = watched.latest
        try:
            while watched.is_outdated and watched.waiting:
                watched.is_outdated = False
                try:
                    watched.latest = await self._exporter.get(job.tenant, job.id)
                except Unavailable:
                    watched.is_outdated = True
                    await asyncio.sleep(RECONNECT_SECONDS)
                    continue
                except Fault as fault:
                    watched.fault = fault
                _wake(watched)
        finally:
            watched.reading = None

    async def _compare_all(self) -> None:
        """Read the jobs that have changed without being heard of, from time to time or when that is to be expected."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._must_compare.wait(), RECHECK_SECONDS)
            self._must_compare.clear()
            jobs = [watched.latest for watched in self._watched.values()]
            for start in range(0, len(jobs), MAX_BATCH):
                try:
                    await self._compare(jobs[start : start + MAX_BATCH])
                except Unavailable:
                    await asyncio.sleep(RECONNECT_SECONDS)
                    self._must_compare.set()
                    break
                except Exception:  # the next round tries again
                    log.exception("jobs_not_compared", action="wait")

    async def _compare(self, jobs: Sequence[pb.Job]) -> None:
        found = {job.id: job for job in await self._exporter.states(jobs)}
        for known in jobs:
            job = found.get(known.id)
            if job is None or _progress(job) != _progress(known):
                self._read(known.id)


def _latest(watched: _Watched) -> pb.Job:
    if watched.fault is not None:
        raise watched.fault
    return watched.latest


def _progress(job: pb.Job) -> tuple[object, ...]:
    return job.state, job.stage, job.processed_documents, job.attempt, job.finished_at.ToNanoseconds()


def _wake(watched: _Watched) -> None:
    for waiter in watched.waiting:
        waiter.set()
