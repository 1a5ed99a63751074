"""Runs in MongoDB. `due_at` is when something has to be done about a run; absent once it has ended."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.chassis.mongo import Database, Document, translate_errors
from services.scheduler.schedules.documents import run_document, run_of
from services.scheduler.schedules.schedule import ENDED, LIVE, Run, RunState

NOW = "$$NOW"


def later(seconds: float) -> Document:
    """An expression: this many seconds from the server's now."""
    return {"$add": [NOW, int(seconds * 1000)]}


class RunStore:
    """The `runs` collection; a run's `_id` is made of schedule and fire time, so there is one for each."""

    def __init__(self, database: Database) -> None:
        self._runs = database["runs"]

    @translate_errors
    async def prepare(self) -> None:
        """Make the indexes."""
        await self._runs.create_index([("due_at", ASCENDING)], sparse=True)
        await self._runs.create_index([("schedule_id", ASCENDING), ("fire_at", DESCENDING), ("_id", DESCENDING)])
        await self._runs.create_index([("schedule_id", ASCENDING), ("state", ASCENDING)])
        await self._runs.create_index([("state", ASCENDING), ("created_at", ASCENDING)])

    @translate_errors
    async def add(self, run: Run) -> Run:
        """Store a run, or return the one that has this id already."""
        try:
            await self._runs.insert_one(run_document(run))
        except DuplicateKeyError:
            document = await self._runs.find_one({"_id": run.id})
            return run_of(document) if document is not None else run
        return run

    @translate_errors
    async def page(self, schedule_id: str, *, before: tuple[datetime, str] | None, limit: int) -> list[Run]:
        """A schedule's runs, the newest fire time first, after the position `before` (fire_at, id)."""
        where: Document = {"schedule_id": schedule_id}
        if before is not None:
            at, last = before
            where["$or"] = [{"fire_at": {"$lt": at}}, {"fire_at": at, "_id": {"$lt": last}}]
        order = [("fire_at", DESCENDING), ("_id", DESCENDING)]
        return [run_of(d) async for d in self._runs.find(where).sort(order).limit(limit)]

    @translate_errors
    async def newest(self, schedule_ids: Sequence[str]) -> dict[str, Run]:
        """The newest run of each of these schedules that has one."""
        stages: list[Document] = [
            {"$match": {"schedule_id": {"$in": list(schedule_ids)}}},
            {"$sort": {"schedule_id": 1, "fire_at": -1, "_id": -1}},
            {"$group": {"_id": "$schedule_id", "run": {"$first": "$$ROOT"}}},
        ]
        return {d["_id"]: run_of(d["run"]) async for d in self._runs.aggregate(stages)}

    @translate_errors
    async def take_due(self, state: RunState, pause: float, limit: int) -> list[Run]:
        """Runs of this state that are due, each to one look; due again after `pause` seconds, for whoever looks then.

        What is done about a run is the same however often it is done, so a look that dies leaves nothing behind.
        """
        is_due = {"state": state.value, "due_at": {"$type": "date"}, "$expr": {"$lte": ["$due_at", NOW]}}
        found = self._runs.find(is_due, {"_id": 1}).sort([("due_at", 1), ("fire_at", 1)]).limit(limit)
        ids = [document["_id"] async for document in found]
        if not ids:
            return []
        look = uuid.uuid4().hex
        taken = {"due_at": later(pause), "look": look}
        await self._runs.update_many({"_id": {"$in": ids}, **is_due}, [{"$set": taken}])
        mine = self._runs.find({"_id": {"$in": ids}, "look": look}).sort("fire_at", ASCENDING)
        return [run_of(document) async for document in mine]

    @translate_errors
    async def live_before(self, run: Run) -> list[Run]:
        """Other runs of the schedule that have not ended: all that are submitted, and those that wait from before."""
        earlier: Document = {"state": RunState.WAITING.value, "fire_at": {"$lt": run.fire_at}, "is_manual": False}
        where: Document = {
            "schedule_id": run.schedule_id,
            "_id": {"$ne": run.id},
            "$or": [{"state": RunState.SUBMITTED.value}, earlier],
        }
        return [run_of(d) async for d in self._runs.find(where).sort("fire_at", ASCENDING)]

    @translate_errors
    async def submitted(self, run_id: str, follow: float) -> Run | None:
        """Its job is accepted; its outcome is asked for after `follow` seconds, if no event tells of it before."""
        fresh = {"state": RunState.SUBMITTED.value, "started_at": NOW, "due_at": later(follow)}
        return await self._change({"_id": run_id, "state": RunState.WAITING.value}, {"$set": fresh})

    @translate_errors
    async def dropped(self, run_id: str, state: RunState, reason: str) -> Run | None:
        """End a run that waits, without a job; None when it does not wait any more."""
        done = {"state": state.value, "reason": {"$literal": reason}, "finished_at": NOW}
        return await self._change({"_id": run_id, "state": RunState.WAITING.value}, *_end(done))

    @translate_errors
    async def ended(self, run_id: str, state: RunState, reason: str, at: datetime | None) -> Run | None:
        """End a run whose job ended at that time; None when it has ended already.

        It may still wait here: whoever submitted it died before it could say so, or has not come to it yet.
        """
        done: Document = {"state": state.value, "reason": {"$literal": reason}, "finished_at": at or NOW}
        done["started_at"] = {"$ifNull": ["$started_at", at or NOW]}
        return await self._change({"_id": run_id, "state": {"$in": [s.value for s in LIVE]}}, *_end(done))

    @translate_errors
    async def wake(self, schedule_id: str) -> None:
        """The run that has waited longest for a predecessor is due now, for one has ended; the others wait for it."""
        where = {"schedule_id": schedule_id, "state": RunState.WAITING.value}
        await self._runs.find_one_and_update(where, [{"$set": {"due_at": NOW}}], sort=[("fire_at", ASCENDING)])

    @translate_errors
    async def longest_wait(self) -> float:
        """Seconds since the waiting run that was planned first was planned; 0 when none waits."""
        stages: list[Document] = [
            {"$match": {"state": RunState.WAITING.value}},
            {"$sort": {"created_at": ASCENDING}},
            {"$limit": 1},
            {"$project": {"millis": {"$subtract": [NOW, "$created_at"]}}},
        ]
        waits = [float(document["millis"]) / 1_000 async for document in self._runs.aggregate(stages)]
        return max([0.0, *waits])

    @translate_errors
    async def forget(self, older_than: float) -> int:
        """Remove runs that ended and were made more than `older_than` seconds ago; returns how many."""
        old = {"$expr": {"$lt": ["$created_at", later(-older_than)]}}
        states = sorted(state.value for state in ENDED)
        return (await self._runs.delete_many({"state": {"$in": states}, **old})).deleted_count

    async def _change(self, where: Document, *stages: Document) -> Run | None:
        document = await self._runs.find_one_and_update(where, [*stages], return_document=ReturnDocument.AFTER)
        return None if document is None else run_of(document)


def _end(fields: Document) -> list[Document]:
    """The stages that end a run: nothing is to be done about it any more."""
    return [{"$set": fields}, {"$unset": ["due_at"]}]
