"""Deliveries in MongoDB. Every state change is one compare-and-set on one document, with the server's clock (`$$NOW`).

Field `due_at` is when somebody should take the delivery next: now when it waits, at the end of the lease while it is
sent, after the delay when it is to be tried again; absent once it has ended. No message is needed to find it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Database, Document, translate_errors, upserted
from services.delivery.deliveries.delivery import (
    ENDED,
    HELD,
    LIVE,
    Delivery,
    DeliveryState,
    NewDelivery,
    Receipt,
)
from services.delivery.deliveries.documents import error_document, from_document, new_document, receipt_document

NOW = "$$NOW"
ATTEMPTS_KEPT = 20
INTERRUPTED = ErrorInfo("interrupted", "The attempt ended without a word: its process was killed, or cut off.")
_GONE_ANEW = ["error", "receipt", "delivered_at", "attempts", "started_at"]


def later(seconds: float) -> Document:
    """An expression: this many seconds from the server's now."""
    return {"$add": [NOW, int(seconds * 1000)]}


def literal(value: object) -> Document:
    """An expression whose value is `value`, whatever `$` it holds."""
    return {"$literal": value}


def among(states: frozenset[DeliveryState]) -> Document:
    """A condition: the delivery is in one of these states."""
    return {"state": {"$in": sorted(states)}}


_IS_HELD: Document = {"$in": ["$state", sorted(HELD)]}
_ATTEMPTS: Document = {"$ifNull": ["$attempts", []]}
_DUE: Document = {"due_at": {"$type": "date"}, "$expr": {"$lte": ["$due_at", NOW]}}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make a delivery until somebody else is given a higher fence."""

    delivery: Delivery

    @property
    def key(self) -> Document:
        """The condition under which this lease still holds."""
        return {"_id": self.delivery.id, "fence": self.delivery.fence, **among(HELD)}


class DeliveryStore:
    """The `deliveries` collection."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database["deliveries"]

    async def prepare(self) -> None:
        """Make the indexes."""
        await self._deliveries.create_index([("due_at", ASCENDING)], sparse=True)
        newest = [("created_at", DESCENDING), ("_id", DESCENDING)]
        await self._deliveries.create_index([("tenant", ASCENDING), *newest])
        await self._deliveries.create_index([("tenant", ASCENDING), ("job_id", ASCENDING), *newest])
        await self._deliveries.create_index([("platform_id", ASCENDING), ("state", ASCENDING)])
        await self._deliveries.create_index([("state", ASCENDING), ("updated_at", ASCENDING)])

    async def _change(
        self, where: Document, *stages: Document, sort: list[tuple[str, int]] | None = None
    ) -> Delivery | None:
        """The one compare-and-set: the changed delivery, or None when none meets `where`."""
        document = await self._deliveries.find_one_and_update(
            where, [*stages, {"$set": {"updated_at": NOW}}], sort=sort, return_document=ReturnDocument.AFTER
        )
        return None if document is None else from_document(document)

    # Making and asking

    @translate_errors
    async def add(self, new: NewDelivery, *, failed: ErrorInfo | None = None) -> Delivery:
        """Store a delivery to be made, or return the one of this job and platform, unchanged.

        Args:
            failed: it cannot be made, and says why from the start.
        """
        fresh: Document = {**_literal_fields(new_document(new)), "created_at": NOW, "updated_at": NOW, "due_at": NOW}
        if failed is not None:
            fresh |= {"state": DeliveryState.FAILED.value, "error": literal(error_document(failed))}
            del fresh["due_at"]
        is_new = {"$eq": [{"$type": "$state"}, "missing"]}
        change = [{"$replaceWith": {"$cond": [is_new, fresh, "$$ROOT"]}}]
        return from_document(await upserted(self._deliveries, new.id, change))

    @translate_errors
    async def get(self, tenant: str, delivery_id: str) -> Delivery | None:
        """A tenant's delivery."""
        document = await self._deliveries.find_one({"_id": delivery_id, "tenant": tenant})
        return None if document is None else from_document(document)

    @translate_errors
    async def page(
        self,
        tenant: str,
        *,
        job_id: str,
        platform_id: str,
        states: Sequence[DeliveryState],
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Delivery]:
        """A tenant's deliveries, newest first, after the position `before` (created_at, id)."""
        where: Document = {"tenant": tenant}
        if job_id:
            where["job_id"] = job_id
        if platform_id:
            where["platform_id"] = platform_id
        if states:
            where["state"] = {"$in": [state.value for state in states]}
        if before is not None:
            at, last = before
            where["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last}}]
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        return [from_document(d) async for d in self._deliveries.find(where).sort(order).limit(limit)]

    @translate_errors
    async def again(self, tenant: str, delivery_id: str, states: frozenset[DeliveryState]) -> Delivery | None:
        """Start an ended delivery anew with all its attempts; None when it is in none of these states.

        The fence goes on, so that an old worker stays out. Name and notes stay: an attempt whose end nobody heard of
        may have delivered it.
        """
        where = {"_id": delivery_id, "tenant": tenant, **among(states & ENDED)}
        anew = {"state": DeliveryState.PENDING.value, "attempt": 0, "bytes_sent": 0, "due_at": NOW}
        return await self._change(where, {"$set": anew}, {"$unset": _GONE_ANEW})

    # Working

    @translate_errors
    async def claim(self, owner: str, lease: float, *, busy: Sequence[str] = ()) -> Lease | None:
        """Take the delivery that is due longest, of a platform that is not busy: fence + 1, attempt + 1."""
        taken = {
            "state": DeliveryState.SENDING.value,
            "bytes_sent": 0,
            "fence": {"$add": ["$fence", 1]},
            "attempt": {"$add": ["$attempt", 1]},
            "started_at": NOW,
            "lease_owner": literal(owner),
            "due_at": later(lease),
            "attempts": {"$cond": [_IS_HELD, _with_attempt(INTERRUPTED), _ATTEMPTS]},
        }
        due = {**_DUE, **among(LIVE), "platform_id": {"$nin": list(busy)}}
        left = {"$and": [due["$expr"], {"$lt": ["$attempt", "$max_attempts"]}]}
        found = await self._change({**due, "$expr": left}, {"$set": taken}, sort=[("due_at", ASCENDING)])
        return None if found is None else Lease(found)

    @translate_errors
    async def give_up_one(self, error: ErrorInfo) -> Delivery | None:
        """Fail a delivery that nobody holds and that has used its attempts: it ended its process each time."""
        used = {"$and": [_DUE["$expr"], {"$gte": ["$attempt", "$max_attempts"]}]}
        return await self._change({**_DUE, **among(LIVE), "$expr": used}, *_failing(error))

    @translate_errors
    async def heartbeat(self, lease: Lease, *, seconds: float, sent: int, verifying: bool) -> bool:
        """Keep the lease and report progress. False: somebody else has the delivery, or it was ended; stop at once."""
        state = DeliveryState.VERIFYING if verifying else DeliveryState.SENDING
        report = {"due_at": later(seconds), "bytes_sent": sent, "state": state.value}
        return await self._change(lease.key, {"$set": report}) is not None

    @translate_errors
    async def settle_name(self, lease: Lease, name: str) -> bool:
        """Store the final name at the destination, before anything is sent under it."""
        return await self._change(lease.key, {"$set": {"remote_name": literal(name)}}) is not None

    @translate_errors
    async def keep_note(self, lease: Lease, name: str, value: str | None) -> bool:
        """Keep what the destination wants to remember; None forgets it."""
        field = f"notes.{name}"
        stage = {"$unset": [field]} if value is None else {"$set": {field: literal(value)}}
        return await self._change(lease.key, stage) is not None

    @translate_errors
    async def noted(self) -> list[Delivery]:
        """Deliveries that have notes."""
        where = {"notes": {"$exists": True}, **among(frozenset(DeliveryState) - {DeliveryState.DELIVERED})}
        return [from_document(d) async for d in self._deliveries.find(where)]

    @translate_errors
    async def replace_note(self, delivery_id: str, name: str, old: str, new: str) -> bool:
        """Put a note in place of the one that was read; False: it is another by now."""
        field = f"notes.{name}"
        changed = await self._deliveries.update_one({"_id": delivery_id, field: old}, {"$set": {field: new}})
        return changed.modified_count == 1

    @translate_errors
    async def deliver(self, lease: Lease, receipt: Receipt) -> bool:
        """The one moment at which it becomes delivered. False: the lease was lost."""
        done = {
            "state": DeliveryState.DELIVERED.value,
            "receipt": literal(receipt_document(receipt)),
            "delivered_at": NOW,
            "bytes_sent": 0 if receipt.was_there else receipt.size,
            "attempts": _with_attempt(None),
        }
        gone = {"$unset": ["due_at", "lease_owner", "error", "notes"]}
        return await self._change(lease.key, {"$set": done}, gone) is not None

    @translate_errors
    async def fail(self, lease: Lease, error: ErrorInfo) -> bool:
        """End the delivery."""
        return await self._change(lease.key, *_failing(error)) is not None

    @translate_errors
    async def wait_for_retry(self, lease: Lease, error: ErrorInfo, delay: float) -> bool:
        """Let it wait `delay` seconds for its next attempt."""
        waiting = {
            "state": DeliveryState.RETRY_WAIT.value,
            "error": literal(error_document(error)),
            "attempts": _with_attempt(error),
            "due_at": later(delay),
        }
        return await self._change(lease.key, {"$set": waiting}, {"$unset": ["lease_owner"]}) is not None

    @translate_errors
    async def give_back(self, lease: Lease) -> bool:
        """Return it unharmed because this process stops: the attempt does not count and it is due at once."""
        back = {
            "state": DeliveryState.PENDING.value,
            "attempt": {"$subtract": ["$attempt", 1]},
            "due_at": NOW,
        }
        return await self._change(lease.key, {"$set": back}, {"$unset": ["lease_owner"]}) is not None

    # Cleaning up and measuring

    @translate_errors
    async def fail_waiting(self, platform_id: str, error: ErrorInfo) -> int:
        """Fail what waits for a platform that is gone; what is being sent ends by itself."""
        where = {"platform_id": platform_id, **among(LIVE - HELD)}
        ended = await self._deliveries.update_many(where, [*_failing(error), {"$set": {"updated_at": NOW}}])
        return ended.modified_count

    @translate_errors
    async def forget(self, older_than: float) -> int:
        """Remove deliveries that ended more than `older_than` seconds ago; returns how many."""
        old = {"$expr": {"$lt": ["$updated_at", later(-older_than)]}}
        return (await self._deliveries.delete_many({**among(ENDED), **old})).deleted_count

    @translate_errors
    async def oldest_live_age(self) -> float:
        """Seconds since the oldest delivery that has not ended was made; 0 when there is none."""
        age: dict[str, Any] = {"$divide": [{"$subtract": [NOW, "$created_at"]}, 1000]}
        cursor = self._deliveries.aggregate(
            [{"$match": among(LIVE)}, {"$sort": {"created_at": 1}}, {"$limit": 1}, {"$project": {"age": age}}]
        )
        return max([float(document["age"]) async for document in cursor], default=0.0)


def _literal_fields(document: Document) -> Document:
    return {name: literal(value) for name, value in document.items()}


def _with_attempt(error: ErrorInfo | None) -> Document:
    """The attempts with the one that ends now, the last `ATTEMPTS_KEPT` of them."""
    past: Document = {"started_at": {"$ifNull": ["$started_at", NOW]}, "ended_at": NOW}
    if error is not None:
        past["trouble"] = literal(error_document(error))
    return {"$slice": [{"$concatArrays": [_ATTEMPTS, [past]]}, -ATTEMPTS_KEPT]}


def _failing(error: ErrorInfo) -> list[Document]:
    failed = {
        "state": DeliveryState.FAILED.value,
        "error": literal(error_document(error)),
        "attempts": {"$cond": [_IS_HELD, _with_attempt(error), _ATTEMPTS]},
    }
    return [{"$set": failed}, {"$unset": ["due_at", "lease_owner"]}]
