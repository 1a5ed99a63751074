"""Schedules in MongoDB. Every change is one compare-and-set on one document, on its version.

Planning stores a schedule's runs and then moves the schedule past them, in this order. A crash in between leaves runs
that are planned again under the same ids, which changes nothing; the other order could lose one. A transaction would do
neither better: one whose process was killed locks its schedule for a minute (`transactionLifetimeLimitSeconds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pymongo import ASCENDING, DESCENDING, ReplaceOne, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from services.chassis.mongo import Client, Database, Document, translate_errors
from services.scheduler.schedules.documents import run_document, schedule_document, schedule_of
from services.scheduler.schedules.schedule import Run, Schedule


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule that is due, and what time it is on the server's clock."""

    schedule: Schedule
    now: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """A schedule as it was read, as it is once it is planned, and the runs that come of that."""

    before: Schedule
    after: Schedule
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a planning did that nobody else had done before."""

    moved: int
    """Schedules."""
    runs: tuple[Run, ...]


class ScheduleStore:
    """The `schedules` collection."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._schedules = database["schedules"]
        self._runs = database["runs"]

    @translate_errors
    async def prepare(self) -> None:
        """Make the indexes."""
        await self._schedules.create_index([("due_at", ASCENDING)], sparse=True)
        await self._schedules.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        await self._schedules.create_index([("tenant", ASCENDING), ("platform_id", ASCENDING)])
        await self._schedules.create_index([("is_active", ASCENDING), ("rules", ASCENDING)])

    @translate_errors
    async def now(self) -> datetime:
        """The server's clock."""
        hello = await self._client.admin.command("hello")
        at: datetime = hello["localTime"]
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    @translate_errors
    async def add(self, schedule: Schedule) -> Schedule:
        """Store a new schedule, or return the one that has this id already, unchanged."""
        try:
            await self._schedules.insert_one(schedule_document(schedule))
        except DuplicateKeyError:
            document = await self._schedules.find_one({"_id": schedule.id})
            return schedule_of(document) if document is not None else schedule
        return schedule

    @translate_errors
    async def get(self, tenant: str, schedule_id: str) -> Schedule | None:
        """A tenant's schedule."""
        document = await self._schedules.find_one({"_id": schedule_id, "tenant": tenant})
        return None if document is None else schedule_of(document)

    @translate_errors
    async def count(self, tenant: str, at_most: int) -> int:
        """How many schedules the tenant has, counted up to `at_most`."""
        return await self._schedules.count_documents({"tenant": tenant}, limit=at_most)

    @translate_errors
    async def page(
        self, tenant: str, *, platform_id: str, before: tuple[datetime, str] | None, limit: int
    ) -> list[Schedule]:
        """A tenant's schedules, newest first, after the position `before` (created_at, id)."""
        where: dict[str, object] = {"tenant": tenant}
        if platform_id:
            where["platform_id"] = platform_id
        if before is not None:
            at, last = before
            where["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last}}]
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        return [schedule_of(d) async for d in self._schedules.find(where).sort(order).limit(limit)]

    @translate_errors
    async def change(self, schedule: Schedule) -> Schedule | None:
        """Replace the version that was read with this one; None: somebody else was faster, or it is gone."""
        where, document = _next_version(schedule, schedule)
        kept = await self._schedules.find_one_and_replace(where, document, return_document=ReturnDocument.AFTER)
        return None if kept is None else schedule_of(kept)

    @translate_errors
    async def delete(self, tenant: str, schedule_id: str) -> bool:
        """Forget a schedule."""
        return (await self._schedules.delete_one({"_id": schedule_id, "tenant": tenant})).deleted_count == 1

    @translate_errors
    async def due(self, limit: int) -> list[Due]:
        """Schedules whose time has come, the longest due first."""
        is_due = {"due_at": {"$type": "date"}, "$expr": {"$lte": ["$due_at", "$$NOW"]}}
        stages: list[Document] = [
            {"$match": is_due},
            {"$sort": {"due_at": 1}},
            {"$limit": limit},
            {"$addFields": {"now": "$$NOW"}},
        ]
        return [Due(schedule_of(d), d["now"]) async for d in self._schedules.aggregate(stages)]

    @translate_errors
    async def planned(self, moves: Sequence[Move]) -> Planned:
        """Store the runs that are not there, then move on the schedules that others did not move or change before."""
        runs = [run for move in moves for run in move.runs]
        new: tuple[Run, ...] = ()
        if runs:
            inserts = [UpdateOne({"_id": run.id}, {"$setOnInsert": run_document(run)}, upsert=True) for run in runs]
            stored = await self._runs.bulk_write(inserts, ordered=False)
            new = tuple(runs[index] for index in stored.upserted_ids or ())
        replaced = [ReplaceOne(*_next_version(move.before, move.after)) for move in moves]
        done = await self._schedules.bulk_write(replaced, ordered=False) if replaced else None
        return Planned(moved=done.modified_count if done else 0, runs=new)

    @translate_errors
    async def with_other_rules(self, rules: str, limit: int) -> list[Schedule]:
        """Active schedules whose next time was computed by other time-zone rules."""
        found = self._schedules.find({"is_active": True, "rules": {"$ne": rules}}).limit(limit)
        return [schedule_of(d) async for d in found]

    @translate_errors
    async def oldest_due_age(self) -> float:
        """Seconds since the schedule that is longest due became so; 0 when none is."""
        due = await self.due(1)
        if not due or due[0].schedule.due_at is None:
            return 0.0
        return max(0.0, (due[0].now - due[0].schedule.due_at).total_seconds())


def _next_version(before: Schedule, after: Schedule) -> tuple[Document, Document]:
    """The compare and the set: the version that was read, and what takes its place."""
    where = {"_id": before.id, "tenant": before.tenant, "version": before.version}
    return where, schedule_document(replace(after, version=before.version + 1))
