"""Writes entries to MongoDB. Entries that are pending at the same time are written with one insert."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Counter, Histogram
from pymongo.errors import BulkWriteError, PyMongoError

from services.chassis import loops, mongo
from services.chassis.audit.entry import Entry, Result, result_of, to_document
from services.chassis.faults import Unavailable
from services.chassis.timestamps import in_milliseconds

log = structlog.get_logger()

DATABASE, COLLECTION = "audit", "entries"
MAX_PENDING = 5_000
"""Entries that wait to be written. More changes are refused."""
MAX_BATCH = 500
WRITE_SECONDS = 15.0
"""How long a change waits for its entry: longer than an election, shorter than the deadline of a call."""
NOTE_SECONDS = 0.05
"""How long a result waits for an entry that it can be written with."""
CLOSE_SECONDS = 5.0
RETRY_SECONDS = 0.2
CLOCK_SECONDS = 30.0
"""How often the difference between this process's clock and the server's is measured."""

WRITES = Histogram("audit_write_seconds", "Duration of writes to the audit log; each writes all entries that wait.")
LOST = Counter("audit_entries_lost_total", "Results and refused requests that could not be written to the audit log.")


@dataclass(eq=False, slots=True)
class _Pending:
    document: mongo.Document
    written: asyncio.Future[None] | None
    """None: nobody waits for it."""

    @property
    def is_wanted(self) -> bool:
        return self.written is None or not self.written.done()


class AuditLog:
    """The `entries` collection of the database `audit`, for writing. Use `audit_log`, which also runs `write`."""

    def __init__(self, client: mongo.Client) -> None:
        self._admin = client.admin
        self._entries = client[DATABASE][COLLECTION]
        self._pending: deque[_Pending] = deque()
        self._arrived, self._urgent = asyncio.Event(), asyncio.Event()
        self._offset = timedelta()

    def now(self) -> datetime:
        """The server's time, as far as it is known: in whole milliseconds."""
        return in_milliseconds(datetime.now(UTC) + self._offset)

    async def record(self, entry: Entry) -> None:
        """Write an entry; returns when a majority has journalled it.

        Raises:
            Unavailable: it could not be written in time.
        """
        if len(self._pending) >= MAX_PENDING:
            raise _unavailable()
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(_Pending(to_document(entry), written))
        self._urgent.set()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await written
        except TimeoutError as exc:
            raise _unavailable() from exc

    def note(self, entry: Entry, *, is_end: bool) -> None:
        """Write an entry soon.

        Args:
            is_end: the result of an operation that `record` has written.
        """
        if len(self._pending) >= 2 * MAX_PENDING:
            LOST.inc()
            return
        self._add(_Pending(to_document(entry, is_end=is_end), None))

    @contextmanager
    def concluding(self, entry: Entry, fields: Callable[[], Iterable[str]] = tuple) -> Iterator[None]:
        """Note how the block, an operation that `record` has written, ends; without a result if it is interrupted.

        Args:
            fields: names of the request's fields, if more is known of them after a success.
        """
        try:
            yield
        except Exception as exc:
            self.note(entry.ended(*result_of(exc), self.now()), is_end=True)
            raise
        self.note(entry.ended(Result.OK, "", self.now(), fields()), is_end=True)

    async def measure_clock(self) -> None:
        """Measure the difference between the server's clock and this process's, which may be wrong."""
        clock = asyncio.get_running_loop().time
        started, local = clock(), datetime.now(UTC)
        answer = await self._admin.command("hello")
        self._offset = answer["localTime"].replace(tzinfo=UTC) - local - timedelta(seconds=(clock() - started) / 2)

    async def write(self) -> None:
        """Write what is pending, until cancelled."""
        while True:
            loops.raise_if_cancelled()
            await self._arrived.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(NOTE_SECONDS):
                    await self._urgent.wait()
            if not await self._write_pending():
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Write what is left, for a few seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._pending and await self._write_pending():
                    pass
        for one in self._pending:
            self._lose(one)

    def _add(self, one: _Pending) -> None:
        self._pending.append(one)
        self._arrived.set()

    async def _write_pending(self) -> bool:
        """Write one batch; False: it has to be tried again."""
        self._urgent.clear()
        batch = [self._pending.popleft() for _ in range(min(len(self._pending), MAX_BATCH))]
        batch = [one for one in batch if one.is_wanted]
        if self._pending:
            self._urgent.set()
        else:
            self._arrived.clear()
        try:
            if batch:
                await self._insert([one.document for one in batch])
        except Exception as exc:  # noqa: BLE001  every waiting caller gets an error
            log.warning("audit_not_written", action="audit", entries=len(batch), reason=str(exc)[:500])
            if isinstance(exc, PyMongoError) and mongo.is_transient(exc):
                self._put_back(batch)
                return False
            for one in batch:
                self._lose(one)
            return True
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        for one in batch:
            if one.written is not None and not one.written.done():
                one.written.set_result(None)
        return True

    async def _insert(self, documents: Sequence[mongo.Document]) -> None:
        with WRITES.time():
            try:
                await self._entries.insert_many(documents, ordered=False)
            except BulkWriteError as exc:  # an earlier try, whose answer was lost, has inserted some
                others = [error for error in exc.details["writeErrors"] if error["code"] != mongo.DUPLICATE_KEY]
                if others or exc.details["writeConcernErrors"]:
                    raise

    def _put_back(self, batch: Sequence[_Pending]) -> None:
        self._pending.extendleft(reversed(batch))
        self._arrived.set()
        self._urgent.set()

    def _lose(self, one: _Pending) -> None:
        if one.written is None:
            LOST.inc()
        elif not one.written.done():
            one.written.set_exception(_unavailable())


@asynccontextmanager
async def audit_log(client: mongo.Client) -> AsyncIterator[AuditLog]:
    """The audit log of this process; on leaving, what is pending is written."""
    opened = AuditLog(client)
    try:
        clock = loops.repeat("audit_clock", CLOCK_SECONDS, opened.measure_clock)
        async with loops.running(loops.repeat("audit", RETRY_SECONDS, opened.write), clock):
            yield opened
    finally:
        await opened.close()


def _unavailable() -> Unavailable:
    return Unavailable(
        "audit_unavailable", "The audit log cannot be written, so nothing was changed; try again shortly."
    )
