"""Events in MongoDB.

Recording an event is one write. Its number comes later, when somebody wants to read the tenant's events in order: a
number is one more than the highest, and a unique index refuses it to a second event. So whoever sees a number also sees
every smaller one, without a lock and without a transaction.
"""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from services.chassis.mongo import Database, Document, insert_missing, load, translate_errors
from services.chassis.mongo_expressions import NOW
from services.delivery.webhooks.event import Event

BATCH = 200


class EventStore:
    """The `events` collection, and `event_counters` with the highest number of each tenant, which outlives events.

    Args:
        keep_days: how long events are kept.
    """

    def __init__(self, database: Database, *, keep_days: float) -> None:
        self._events = database["events"]
        self._counters = database["event_counters"]
        self._keep_seconds = int(keep_days * 86_400)

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        numbered: Document = {"sequence": {"$exists": True}}
        await self._events.create_index(
            [("tenant", ASCENDING), ("sequence", ASCENDING)], unique=True, partialFilterExpression=numbered
        )
        # Events that are still to be reported to webhooks.
        await self._events.create_index(
            [("tenant", ASCENDING), ("stored_at", ASCENDING)], partialFilterExpression={"is_new": True}
        )
        await self._events.create_index("stored_at", expireAfterSeconds=self._keep_seconds)

    @translate_errors
    async def record(self, events: Sequence[Event]) -> int:
        """Store events; those that are stored already stay as they are. Returns how many are new."""
        rows = [(_document(event), {"stored_at": NOW}) for event in events]
        return len(await insert_missing(self._events, rows))

    @translate_errors
    async def tenants_with_new(self, tenants: Sequence[str]) -> list[str]:
        """Those of these tenants that have new events."""
        found: list[str] = await self._events.distinct("tenant", {"tenant": {"$in": list(tenants)}, "is_new": True})
        return found

    @translate_errors
    async def new(self, tenant: str) -> list[Event]:
        """A tenant's oldest new events, numbered."""
        await self.number(tenant)
        found = self._events.find({"tenant": tenant, "is_new": True}).sort("stored_at", ASCENDING).limit(BATCH)
        return sorted([_event(document) async for document in found], key=lambda event: event.sequence or 0)

    @translate_errors
    async def done(self, events: Sequence[Event]) -> None:
        """These events are no longer new."""
        await self._events.update_many({"_id": {"$in": [one.id for one in events]}}, {"$unset": {"is_new": ""}})

    @translate_errors
    async def page(self, tenant: str, after: int, limit: int) -> list[Event]:
        """A tenant's events with a higher number than `after`, in order."""
        await self.number(tenant)
        found = self._events.find({"tenant": tenant, "sequence": {"$gt": after}}).sort("sequence", ASCENDING)
        return [_event(document) async for document in found.limit(limit)]

    @translate_errors
    async def between(self, tenant: str, since: datetime, until: datetime, limit: int) -> list[Event]:
        """A tenant's events from `since` to `until`, by the time at which they happened, oldest first."""
        await self.number(tenant)
        where = {"tenant": tenant, "sequence": {"$exists": True}, "at": {"$gte": since, "$lt": until}}
        return [
            _event(document) async for document in self._events.find(where).sort("sequence", ASCENDING).limit(limit)
        ]

    @translate_errors
    async def get(self, tenant: str, event_id: str) -> Event | None:
        """One event, numbered."""
        await self.number(tenant)
        found = await self._events.find_one({"_id": event_id, "tenant": tenant})
        return None if found is None else _event(found)

    async def number(self, tenant: str) -> None:
        """Give a number to each of the tenant's events that has none, in the order in which they happened."""
        without: Document = {"tenant": tenant, "is_new": True, "sequence": None}
        while rows := [
            d async for d in self._events.find(without, {"_id": 1}).sort([("at", 1), ("_id", 1)]).limit(BATCH)
        ]:
            following = await self._highest(tenant) + 1
            for row in rows:
                following = await self._give(tenant, row["_id"], following)
            await self._counters.update_one({"_id": tenant}, {"$max": {"highest": following - 1}}, upsert=True)

    async def _give(self, tenant: str, event_id: str, number: int) -> int:
        """Give an event this number, or a higher one if it is taken; returns the number to continue with."""
        while True:
            try:
                given = await self._events.update_one(
                    {"_id": event_id, "sequence": None}, {"$set": {"sequence": number}}
                )
            except DuplicateKeyError:  # another replica numbers the same events
                number = await self._highest(tenant) + 1
            else:
                return number + given.modified_count

    async def _highest(self, tenant: str) -> int:
        last = await self._events.find_one(
            {"tenant": tenant, "sequence": {"$exists": True}}, {"sequence": 1}, sort=[("sequence", DESCENDING)]
        )
        counter = await self._counters.find_one({"_id": tenant})
        return max(last["sequence"] if last else 0, counter["highest"] if counter else 0)


def _document(event: Event) -> Document:
    return {
        "_id": event.id,
        "tenant": event.tenant,
        "type": event.type,
        "at": event.at,
        "data": dict(event.data),
        "is_new": True,
    }


def _event(document: Document) -> Event:
    return load(Event, document, id=document["_id"])
