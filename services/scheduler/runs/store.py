"""Runs in MongoDB. `due_at` is when a run must be worked on next; it is absent once the run has ended."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis import mongo
from services.chassis.mongo import Database, Document, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW, among, is_due, later, literal, seconds_since
from services.chassis.paging import Page, Position
from services.scheduler.schedules.documents import run_document, run_from
from services.scheduler.schedules.schedule import ENDED, LIVE, Run, RunState

_TENANTS_IN_TURN: list[Document] = [
    {"$project": {"tenant": 1, "due_at": 1, "fire_at": 1}},
    {
        "$setWindowFields": {
            "partitionBy": "$tenant",
            "sortBy": {"due_at": 1},
            "output": {"turn": {"$documentNumber": {}}},
        }
    },
    {"$sort": {"turn": 1, "due_at": 1, "fire_at": 1}},
]
"""The first run of every tenant, then the second of every tenant, and so on: a backlog delays only its own tenant."""


class RunStore:
    """The `runs` collection. A run's `_id` is derived from schedule and fire time, so each fire time has one run."""

    def __init__(self, database: Database) -> None:
        self._runs = database["runs"]

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._runs.create_index([("due_at", ASCENDING)], sparse=True)
        await self._runs.create_index([("schedule_id", ASCENDING), ("fire_at", DESCENDING), ("_id", DESCENDING)])
        await self._runs.create_index([("schedule_id", ASCENDING), ("state", ASCENDING)])
        await self._runs.create_index([("state", ASCENDING), ("created_at", ASCENDING)])
        await self._runs.create_index(
            [("created_at", ASCENDING)], name="unreported", partialFilterExpression={"is_unreported": True}
        )

    @translate_errors
    async def add(self, run: Run) -> Run:
        """Store a run, or return the existing one with this id, unchanged."""
        return run_from(await insert_or_get(self._runs, run_document(run)))

    @translate_errors
    async def get(self, schedule_id: str, run_id: str) -> Run | None:
        """A run of a schedule; None only if it certainly does not exist."""
        document = await mongo.find_current(self._runs, {"_id": run_id, "schedule_id": schedule_id})
        return None if document is None else run_from(document)

    @translate_errors
    async def page(
        self, schedule_id: str, *, before: Position | None, limit: int, states: Sequence[RunState] = ()
    ) -> Page[Run]:
        """A schedule's runs, newest fire time first, after the position `before` (fire_at, id)."""
        where = {"schedule_id": schedule_id, **(among(states) if states else {})}
        found = await mongo.page(self._runs, where, after=before, limit=limit, by="fire_at")
        return found.converted(run_from)

    @translate_errors
    async def newest(self, schedule_ids: Sequence[str]) -> dict[str, Run]:
        """The newest run of each of these schedules that has one."""
        stages: list[Document] = [
            {"$match": {"schedule_id": {"$in": list(schedule_ids)}}},
            {"$sort": {"schedule_id": 1, "fire_at": -1, "_id": -1}},
            {"$group": {"_id": "$schedule_id", "run": {"$first": "$$ROOT"}}},
        ]
        return {d["_id"]: run_from(d["run"]) async for d in self._runs.aggregate(stages)}

    @translate_errors
    async def take_due(self, state: RunState, pause: float, limit: int) -> list[Run]:
        """Runs in this state that are due, the tenants in turn, each for one caller; due again after `pause` seconds.

        Working on a run is idempotent, so a caller that dies leaves nothing behind.
        """
        due = {**among([state]), **is_due("due_at")}
        stages = [{"$match": due}, *_TENANTS_IN_TURN, {"$limit": limit}, {"$project": {"_id": 1}}]
        ids = [document["_id"] async for document in self._runs.aggregate(stages)]
        if not ids:
            return []
        caller = uuid.uuid4().hex
        taken = {"due_at": later(pause), "look": caller}
        await self._runs.update_many({"_id": {"$in": ids}, **due}, [{"$set": taken}])
        mine = self._runs.find({"_id": {"$in": ids}, "look": caller}).sort("fire_at", ASCENDING)
        return [run_from(document) async for document in mine]

    @translate_errors
    async def live_before(self, run: Run) -> list[Run]:
        """Other live runs of the schedule: all submitted ones, and those waiting with an earlier fire time."""
        earlier: Document = {"state": RunState.WAITING.value, "fire_at": {"$lt": run.fire_at}, "is_manual": False}
        where: Document = {
            "schedule_id": run.schedule_id,
            "_id": {"$ne": run.id},
            "$or": [{"state": RunState.SUBMITTED.value}, earlier],
        }
        return [run_from(d) async for d in self._runs.find(where).sort("fire_at", ASCENDING)]

    @translate_errors
    async def submitted(self, run_id: str, follow: float) -> Run | None:
        """Record that the job was accepted. Its outcome is due to be checked in `follow` seconds."""
        started = {"state": RunState.SUBMITTED.value, "started_at": NOW, "due_at": later(follow)}
        return await self._change({"_id": run_id, "state": RunState.WAITING.value}, {"$set": started})

    @translate_errors
    async def dropped(self, run_id: str, state: RunState, reason: str) -> Run | None:
        """End a waiting run without a job; None when it is no longer waiting."""
        done = {"state": state.value, "reason": literal(reason), "finished_at": NOW}
        return await self._change({"_id": run_id, "state": RunState.WAITING.value}, *_end(done))

    @translate_errors
    async def ended(self, run_id: str, state: RunState, reason: str, at: datetime | None) -> Run | None:
        """End a run whose job ended at that time; None when it has already ended.

        The run may still be waiting: the replica that submitted it died, or has not recorded the submission yet.
        """
        done: Document = {"state": state.value, "reason": literal(reason), "finished_at": at or NOW}
        done["started_at"] = {"$ifNull": ["$started_at", at or NOW]}
        return await self._change({"_id": run_id, **among(LIVE)}, *_end(done))

    @translate_errors
    async def wake(self, schedule_id: str) -> None:
        """A run has ended: make the next waiting run of the schedule due now."""
        where = {"schedule_id": schedule_id, "state": RunState.WAITING.value}
        await self._runs.find_one_and_update(where, [{"$set": {"due_at": NOW}}], sort=[("fire_at", ASCENDING)])

    @translate_errors
    async def unreported(self, limit: int) -> list[Run]:
        """Missed runs that are still to be reported, oldest first."""
        found = self._runs.find({"is_unreported": True}).sort("created_at", ASCENDING).limit(limit)
        return [run_from(document) async for document in found]

    @translate_errors
    async def reported(self, runs: Sequence[Run]) -> None:
        """These missed runs are reported."""
        await self._runs.update_many({"_id": {"$in": [run.id for run in runs]}}, {"$unset": {"is_unreported": ""}})

    @translate_errors
    async def longest_wait(self) -> float:
        """Seconds since the oldest waiting run was planned; 0 when none is waiting."""
        oldest: list[Document] = [{"$match": among([RunState.WAITING])}, {"$sort": {"created_at": 1}}, {"$limit": 1}]
        cursor = self._runs.aggregate([*oldest, {"$project": {"age": seconds_since("$created_at")}}])
        return max([float(document["age"]) async for document in cursor], default=0.0)

    @translate_errors
    async def forget(self, older_than: float) -> int:
        """Remove ended runs that were planned more than `older_than` seconds ago; returns how many."""
        old = {"$expr": {"$lt": ["$created_at", later(-older_than)]}}
        reported: Document = {"is_unreported": {"$exists": False}}
        return (await self._runs.delete_many({**among(ENDED), **old, **reported})).deleted_count

    async def _change(self, where: Document, *stages: Document) -> Run | None:
        document = await self._runs.find_one_and_update(where, [*stages], return_document=ReturnDocument.AFTER)
        return None if document is None else run_from(document)


def _end(fields: Document) -> list[Document]:
    """The stages that end a run: it is no longer due."""
    return [{"$set": fields}, {"$unset": ["due_at"]}]
