"""Waits for jobs on behalf of any number of REST clients; one stream from the exporter tells of all changes."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager, suppress

import grpc
import structlog

from services.chassis.faults import Unavailable
from services.gateway.clients.exporter import ExporterClient
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

log = structlog.get_logger()

MAX_WAITING = 20_000
"""Clients that wait at this process; others are answered at once."""
RECONNECT_SECONDS = 0.5
RECHECK_SECONDS = 15.0
"""A waiting client's job is read again after this time without a change, since one may be missed."""
LIVE = frozenset({pb.JOB_STATE_ACCEPTED, pb.JOB_STATE_RUNNING, pb.JOB_STATE_RETRY_WAIT})


class JobChanges:
    """Which clients wait for which job. `run` hears of the changes."""

    def __init__(self, channel: grpc.aio.Channel, exporter: ExporterClient) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._exporter = exporter
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._is_leaving = False

    async def run(self) -> None:
        """Hear of changes until cancelled; after an interruption, every waiting client checks its job."""
        while True:
            with suppress(grpc.aio.AioRpcError):
                async for changed in self._stub.WatchChanges(pb.WatchChangesRequest()):
                    if changed.job_ids and not changed.is_incomplete:
                        for job_id in changed.job_ids:
                            _set(self._waiting.get(job_id, ()))
                    else:
                        self._wake_all()
            await asyncio.sleep(RECONNECT_SECONDS)

    def leave(self) -> None:
        """Answer those who wait now, and from now on at once: the process is stopping."""
        self._is_leaving = True
        self._wake_all()

    async def ended(self, job: pb.Job, seconds: float) -> pb.Job:
        """The job once it has ended, or as it is after `seconds`.

        Raises:
            Fault: it has been deleted.
        """
        until = time.monotonic() + seconds
        with self._waits_for(job.id) as change:
            while job.state in LIVE and await self._changed(change, until):
                job = await self._latest(job, change)
        return job

    async def states(self, job: pb.Job, pause: float) -> AsyncGenerator[pb.Job | None]:
        """The job now and after its changes until it has ended; None after at most `pause` seconds without one.

        It ends early if this process stops, or if too many clients wait; the client may come again.

        Raises:
            Fault: as `ExporterClient.get`.
        """
        with self._waits_for(job.id) as change:
            job = await self._exporter.get(job.tenant, job.id)
            yield job
            while job.state in LIVE and await self._changed(change, time.monotonic() + pause):
                found = await self._latest(job, change)
                yield None if found == job else found
                job = found

    @contextmanager
    def _waits_for(self, job_id: str) -> Iterator[asyncio.Event | None]:
        """An event that is set when the job may have changed; None if too many wait already."""
        if self._count >= MAX_WAITING:
            yield None
            return
        event = asyncio.Event()
        self._count += 1
        self._waiting.setdefault(job_id, set()).add(event)
        try:
            yield event
        finally:
            self._count -= 1
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _latest(self, job: pb.Job, change: asyncio.Event | None) -> pb.Job:
        """The job now; while the exporter does not answer, as it was known, to be read again soon."""
        try:
            return await self._exporter.get(job.tenant, job.id)
        except Unavailable:
            await asyncio.sleep(RECONNECT_SECONDS)
            _set([change] if change else [])
            return job

    async def _changed(self, change: asyncio.Event | None, until: float) -> bool:
        """Wait until there may be a change; false when the time is up."""
        left = until - time.monotonic()
        if change is None or self._is_leaving or left <= 0:
            return False
        with suppress(TimeoutError):
            await asyncio.wait_for(change.wait(), min(left, RECHECK_SECONDS))
        change.clear()
        return True

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            _set(events)


def _set(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        event.set()
