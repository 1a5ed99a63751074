"""Tells this process's watchers which jobs may have changed, wherever they run.

Whoever changes a job announces it over NATS, without storing the message. The event of an ended job is heard as well,
in case its process was killed before the announcement. A watcher reads the job itself.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nats.aio.msg import Msg

from services.chassis.faults import Unavailable
from services.chassis.jetstream import FAULTS, JetStream
from services.export_events import EVENTS
from services.wire import events_pb2

CHANGES = "exports.changes"
MAX_PENDING = 10_000
"""Ids kept for one watcher; beyond, it only learns that any job may have changed."""


class Watch:
    """The changes that one watcher has not taken yet."""

    def __init__(self) -> None:
        self._pending: set[str] = set()
        self._is_incomplete = False
        self._changed = asyncio.Event()

    def add(self, job_id: str) -> None:
        """Note a change."""
        if len(self._pending) < MAX_PENDING:
            self._pending.add(job_id)
        else:
            self._is_incomplete = True
        self._changed.set()

    async def take(self, timeout: float) -> tuple[set[str], bool]:
        """The ids of changed jobs, and whether there were more; nothing after `timeout` seconds without a change."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)
        taken = self._pending, self._is_incomplete
        self._pending, self._is_incomplete = set(), False
        self._changed.clear()
        return taken


class JobChanges:
    """Announces and hears changes of jobs."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._watches: set[Watch] = set()
        self._is_listening = False

    async def announce(self, job_id: str) -> None:
        """Tell all processes that a job has changed."""
        await self._jetstream.announce(f"{CHANGES}.{job_id}")

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """A new watcher."""
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def listen(self) -> None:
        """Begin to hear changes, once NATS is connected; the client subscribes again after each reconnect."""
        if self._is_listening or not self._jetstream.is_connected:
            return
        with suppress(Unavailable, *FAULTS):
            # First, since a publisher is not told that there is no stream once somebody listens to its subject.
            await self._jetstream.ensure(EVENTS)
            await self._jetstream.listen(f"{CHANGES}.*", self._hear_change)
            await self._jetstream.listen(EVENTS.subjects, self._hear_end)
            self._is_listening = True

    async def _hear_change(self, message: Msg) -> None:
        self._tell(message.subject.rpartition(".")[2])

    async def _hear_end(self, message: Msg) -> None:
        with suppress(ValueError):
            self._tell(events_pb2.ExportFinished.FromString(message.data).job_id)

    def _tell(self, job_id: str) -> None:
        for watch in self._watches:
            watch.add(job_id)
