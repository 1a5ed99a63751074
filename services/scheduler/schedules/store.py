"""Schedules in MongoDB. Every change is one compare-and-set on one document, on its version.

Planning first stores a schedule's runs and then moves the schedule past them. After a crash in between, the same runs
are planned again under the same ids, which changes nothing; the other order could lose a run. A transaction would be no
better: if its process is killed, it locks its schedule for a minute (`transactionLifetimeLimitSeconds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument, UpdateOne

from services.chassis import mongo
from services.chassis.mongo import Client, Database, Document, find_current, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW, contains, difference, is_due
from services.chassis.paging import Page, Position
from services.scheduler.schedules.documents import (
    TIMING_FIELDS,
    run_document,
    schedule_document,
    schedule_from,
    timing_from,
)
from services.scheduler.schedules.schedule import Run, Schedule, Timing

MAX_COUNTED = 1_000_000


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule that is due, and the time of the server."""

    schedule: Timing
    now: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """A schedule before and after it was planned, and the runs that were planned."""

    before: Timing
    after: Timing
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a call changed, without what another replica had already stored."""

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
        """Create the indexes."""
        await self._schedules.create_index([("due_at", ASCENDING)], sparse=True)
        await self._schedules.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        await self._schedules.create_index([("tenant", ASCENDING), ("platform_id", ASCENDING)])
        await self._schedules.create_index(
            [("tenant", ASCENDING), ("profile_id", ASCENDING)], partialFilterExpression={"profile_id": {"$gt": ""}}
        )
        await self._schedules.create_index([("is_active", ASCENDING), ("rules", ASCENDING)])

    @translate_errors
    async def now(self) -> datetime:
        """The time of the server."""
        hello = await self._client.admin.command("hello")
        at: datetime = hello["localTime"]
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    @translate_errors
    async def add(self, schedule: Schedule) -> Schedule:
        """Store a new schedule, or return the existing one with this id, unchanged."""
        return schedule_from(await insert_or_get(self._schedules, schedule_document(schedule)))

    @translate_errors
    async def get(self, tenant: str, schedule_id: str) -> Schedule | None:
        """A tenant's schedule; None only if it certainly does not exist, even just after an election."""
        document = await find_current(self._schedules, {"_id": schedule_id, "tenant": tenant})
        return None if document is None else schedule_from(document)

    @translate_errors
    async def count(self, tenant: str, at_most: int = MAX_COUNTED) -> int:
        """How many schedules the tenant has, counted up to `at_most`."""
        return await self._schedules.count_documents({"tenant": tenant}, limit=at_most)

    @translate_errors
    async def page(
        self,
        tenant: str,
        *,
        platform_id: str,
        before: Position | None,
        limit: int,
        profile_id: str = "",
        name: str = "",
        is_active: bool | None = None,
    ) -> Page[Schedule]:
        """A tenant's schedules, newest first, after the position `before` (created_at, id).

        Args:
            name: part of their names; empty: all.
        """
        where: Document = {"tenant": tenant, **contains("name", name)}
        if platform_id:
            where["platform_id"] = platform_id
        if profile_id:
            where["profile_id"] = profile_id
        if is_active is not None:
            where["is_active"] = is_active
        return (await mongo.page(self._schedules, where, after=before, limit=limit)).converted(schedule_from)

    @translate_errors
    async def change(self, before: Schedule, after: Schedule) -> Schedule | None:
        """Store what differs from the version that was read; None: it was changed or deleted since."""
        changed = await self._schedules.find_one_and_update(
            *_next_version(before, after), return_document=ReturnDocument.AFTER
        )
        return None if changed is None else schedule_from(changed)

    @translate_errors
    async def delete(self, tenant: str, schedule_id: str, expected: datetime | None = None) -> bool:
        """Remove a schedule, if it was last changed when it is expected to have been."""
        where: Document = {"_id": schedule_id, "tenant": tenant}
        if expected is not None:
            where["updated_at"] = expected
        return (await self._schedules.delete_one(where)).deleted_count == 1

    @translate_errors
    async def due(self, limit: int) -> list[Due]:
        """Schedules that are due, the longest due first."""
        stages: list[Document] = [
            {"$match": is_due("due_at")},
            {"$sort": {"due_at": 1}},
            {"$limit": limit},
            {"$project": {**dict.fromkeys(TIMING_FIELDS, 1), "now": NOW}},
        ]
        return [Due(timing_from(d), d["now"]) async for d in self._schedules.aggregate(stages)]

    @translate_errors
    async def planned(self, moves: Sequence[Move]) -> Planned:
        """Store the new runs, then update the schedules that were not changed since they were read."""
        runs = [run for move in moves for run in move.runs]
        new: tuple[Run, ...] = ()
        if runs:
            inserts = [UpdateOne({"_id": run.id}, {"$setOnInsert": run_document(run)}, upsert=True) for run in runs]
            stored = await self._runs.bulk_write(inserts, ordered=False)
            new = tuple(runs[index] for index in stored.upserted_ids or ())
        changes = [UpdateOne(*_next_version(move.before, move.after)) for move in moves]
        done = await self._schedules.bulk_write(changes, ordered=False) if changes else None
        return Planned(moved=done.modified_count if done else 0, runs=new)

    @translate_errors
    async def with_other_rules(self, rules: str, limit: int) -> list[Timing]:
        """Active schedules whose next fire time was computed with other time-zone rules."""
        found = self._schedules.find({"is_active": True, "rules": {"$ne": rules}}, TIMING_FIELDS).limit(limit)
        return [timing_from(d) async for d in found]

    @translate_errors
    async def move(self, before: Timing, after: Timing) -> bool:
        """Store a new timing. False: the schedule was changed or deleted since it was read."""
        return (await self._schedules.update_one(*_next_version(before, after))).modified_count == 1

    @translate_errors
    async def oldest_due_age(self) -> float:
        """Seconds since the longest due schedule became due; 0 when none is."""
        due = await self.due(1)
        if not due or due[0].schedule.due_at is None:
            return 0.0
        return max(0.0, (due[0].now - due[0].schedule.due_at).total_seconds())


def _next_version(before: Timing, after: Timing) -> tuple[Document, Document]:
    """The compare and the set: the version that was read, and the fields that change."""
    where = {"_id": before.id, "tenant": before.tenant, "version": before.version}
    after = replace(after, version=before.version + 1)
    return where, difference(schedule_document(before), schedule_document(after))
