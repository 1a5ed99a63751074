"""Deliveries in MongoDB. Every state change is one compare-and-set on one document, with the server's clock (`$$NOW`).

Field `due_at` is when a worker should next take the delivery: now while it is pending, at the end of the lease while it
is held, after the delay while it waits for a retry. It is absent once the delivery has ended.

Field `ends` is the outbox: the ends that are still to be recorded as events of the tenant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis import mongo
from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Database, Document, insert_missing, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW, among, between, is_due, later, literal, seconds_since
from services.chassis.paging import Page, Position
from services.delivery.deliveries.delivery import (
    ENDED,
    HELD,
    INTERRUPTED,
    LIVE,
    Delivery,
    DeliveryState,
    NewDelivery,
    Progress,
    Receipt,
)
from services.delivery.deliveries.documents import error_document, from_document, new_document, receipt_document

ATTEMPTS_KEPT = 20
_RESET_AT_RESTART = ["error", "receipt", "delivered_at", "attempts", "started_at"]


_IS_HELD: Document = {"$in": ["$state", sorted(HELD)]}
_ATTEMPTS: Document = {"$ifNull": ["$attempts", []]}
_DUE = is_due("due_at")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a delivery until another worker gets a higher fence."""

    delivery: Delivery

    @property
    def key(self) -> Document:
        """The condition under which this lease still holds."""
        return {"_id": self.delivery.id, "fence": self.delivery.fence, **among(HELD)}


class DeliveryStore:
    """The `deliveries` collection."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database["deliveries"]

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._deliveries.create_index([("due_at", ASCENDING)], sparse=True)
        # Claims: the due deliveries of one tenant, however many others are due.
        await self._deliveries.create_index(
            [("tenant", ASCENDING), ("due_at", ASCENDING)], partialFilterExpression={"due_at": {"$exists": True}}
        )
        newest = [("created_at", DESCENDING), ("_id", DESCENDING)]
        await self._deliveries.create_index([("tenant", ASCENDING), *newest])
        await self._deliveries.create_index([("tenant", ASCENDING), ("job_id", ASCENDING), *newest])
        await self._deliveries.create_index([("platform_id", ASCENDING), ("state", ASCENDING)])
        await self._deliveries.create_index([("state", ASCENDING), ("updated_at", ASCENDING)])
        await self._deliveries.create_index(
            [("ends.at", ASCENDING)], partialFilterExpression={"ends": {"$exists": True}}
        )

    async def _change(
        self, where: Document, *stages: Document, sort: list[tuple[str, int]] | None = None
    ) -> Delivery | None:
        """The one compare-and-set: the changed delivery, or None when none meets `where`."""
        document = await self._deliveries.find_one_and_update(
            where, [*stages, {"$set": {"updated_at": NOW}}], sort=sort, return_document=ReturnDocument.AFTER
        )
        return None if document is None else from_document(document)

    # Creating and reading

    @translate_errors
    async def add(self, new: NewDelivery, *, failed: ErrorInfo | None = None) -> Delivery:
        """Store a new delivery, or return the existing one of this job and platform, unchanged.

        Args:
            failed: why it cannot be made; it is stored as failed.
        """
        [wanted] = await self._ids([new])
        return from_document(await insert_or_get(self._deliveries, *_insertion(wanted, new, failed)))

    @translate_errors
    async def add_all(self, new: Sequence[tuple[NewDelivery, ErrorInfo | None]]) -> list[int]:
        """The same for several deliveries with one write; returns the indexes of those that did not exist."""
        ids = await self._ids([one for one, _ in new])
        rows = [_insertion(wanted, *one) for wanted, one in zip(ids, new, strict=True)]
        return await insert_missing(self._deliveries, rows)

    async def _ids(self, new: Sequence[NewDelivery]) -> list[str]:
        """The id of each delivery: the first of its `delivery_ids`, unless that is of an earlier job with the same id.

        A concurrent call for the same jobs finds the same ids.
        """
        where = {"_id": {"$in": [one for delivery in new for one in delivery.ids]}}
        cursor = self._deliveries.find(where, {"file.created_at": 1})
        of_jobs = {document["_id"]: document["file"]["created_at"] async for document in cursor}
        return [_id(delivery, of_jobs) for delivery in new]

    @translate_errors
    async def get(self, tenant: str, delivery_id: str) -> Delivery | None:
        """A tenant's delivery."""
        document = await mongo.find_current(self._deliveries, {"_id": delivery_id, "tenant": tenant})
        return None if document is None else from_document(document)

    @translate_errors
    async def page(
        self,
        tenant: str,
        *,
        job_id: str,
        platform_id: str,
        states: Sequence[DeliveryState],
        after: Position | None,
        limit: int,
        brief: bool = False,
        job_created_at: datetime | None = None,
        created: tuple[datetime | None, datetime | None] = (None, None),
        newest_first: bool = True,
    ) -> Page[Delivery]:
        """A tenant's deliveries by their time of creation, after the position `after` (created_at, id).

        Args:
            brief: without receipts and attempts.
            created: from the first time on, and before the second.
        """
        where: Document = {"tenant": tenant, **between("created_at", *created)}
        if job_id:
            where["job_id"] = job_id
        if job_created_at is not None:
            where["file.created_at"] = job_created_at
        if platform_id:
            where["platform_id"] = platform_id
        if states:
            where["state"] = {"$in": [state.value for state in states]}
        without = ["notes", *(("attempts", "receipt") if brief else ())]
        found = await mongo.page(
            self._deliveries, where, after=after, limit=limit, newest_first=newest_first, without=without
        )
        return found.converted(from_document)

    @translate_errors
    async def restart_for(self, new: NewDelivery) -> Delivery | None:
        """Restart the ended delivery of this job to this platform; None when there is none."""
        [wanted] = await self._ids([new])
        return await self.restart(new.tenant, wanted, ENDED, new.request_key)

    @translate_errors
    async def join(self, new: NewDelivery) -> Delivery | None:
        """Let a request with a key share the live delivery of this job to this platform; None when there is none."""
        if not new.request_key:
            return None
        [wanted] = await self._ids([new])
        where = {"_id": wanted, "tenant": new.tenant, **among(LIVE)}
        return await self._change(where, {"$set": {"request_key": literal(new.request_key)}})

    @translate_errors
    async def requested(self, new: NewDelivery) -> Delivery | None:
        """The delivery of this job to this platform, if it was last requested with the same key."""
        [wanted] = await self._ids([new])
        found = await mongo.find_current(
            self._deliveries, {"_id": wanted, "tenant": new.tenant, "request_key": new.request_key}
        )
        return None if found is None else from_document(found)

    @translate_errors
    async def restart(
        self, tenant: str, delivery_id: str, states: frozenset[DeliveryState], request_key: str = ""
    ) -> Delivery | None:
        """Restart an ended delivery with all its attempts; None when it is in none of these states.

        With a key, it is also None when it was last requested with the same key.

        The fence is kept, so that old workers stay out. Remote name and notes are kept too: an attempt whose result
        was lost may have delivered the file.
        """
        where = {"_id": delivery_id, "tenant": tenant, **among(states & ENDED)}
        restarted: Document = {"state": DeliveryState.PENDING.value, "attempt": 0, "bytes_sent": 0, "due_at": NOW}
        if request_key:
            where["request_key"] = {"$ne": request_key}
            restarted["request_key"] = literal(request_key)
        return await self._change(where, {"$set": restarted}, {"$unset": _RESET_AT_RESTART})

    # Working

    @translate_errors
    async def claim(self, tenant: str, owner: str, lease: float, *, busy: Sequence[str] = ()) -> Lease | None:
        """Claim a tenant's longest-due delivery to a platform that is not busy: fence + 1, attempt + 1."""
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
        due = {"tenant": tenant, **_DUE, **among(LIVE), "platform_id": {"$nin": list(busy)}}
        left = {"$and": [due["$expr"], {"$lt": ["$attempt", "$max_attempts"]}]}
        found = await self._change({**due, "$expr": left}, {"$set": taken}, sort=[("due_at", ASCENDING)])
        return None if found is None else Lease(found)

    @translate_errors
    async def waiting_tenants(self) -> set[str]:
        """Tenants that have a delivery to be claimed."""
        cursor = self._deliveries.aggregate([{"$match": _DUE}, {"$group": {"_id": "$tenant"}}])
        return {document["_id"] async for document in cursor}

    @translate_errors
    async def give_up_one(self, error: ErrorInfo) -> Delivery | None:
        """Fail a delivery that nobody holds and that has used all attempts: each one ended with its process."""
        used = {"$and": [_DUE["$expr"], {"$gte": ["$attempt", "$max_attempts"]}]}
        return await self._change({**_DUE, **among(LIVE), "$expr": used}, *_failing(error))

    @translate_errors
    async def heartbeat(self, lease: Lease, progress: Progress, seconds: float) -> bool:
        """Store the progress and extend the lease. False: the delivery was ended or claimed again; stop."""
        state = DeliveryState.VERIFYING if progress.is_verifying else DeliveryState.SENDING
        report = {"due_at": later(seconds), "bytes_sent": progress.sent, "state": state.value}
        return await self._change(lease.key, {"$set": report}) is not None

    @translate_errors
    async def settle_name(self, lease: Lease, name: str) -> bool:
        """Store the final name at the destination, before anything is sent under it."""
        return await self._change(lease.key, {"$set": {"remote_name": literal(name)}}) is not None

    @translate_errors
    async def keep_note(self, lease: Lease, name: str, value: str | None) -> bool:
        """Store a value that the destination needs at the next attempt; None removes it."""
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
        """Replace the note that was read; False: it has changed since."""
        field = f"notes.{name}"
        changed = await self._deliveries.update_one({"_id": delivery_id, field: old}, {"$set": {field: new}})
        return changed.modified_count == 1

    @translate_errors
    async def complete(self, lease: Lease, receipt: Receipt) -> bool:
        """The one moment at which it becomes delivered. False: the lease was lost."""
        done = {
            "state": DeliveryState.DELIVERED.value,
            "receipt": literal(receipt_document(receipt)),
            "delivered_at": NOW,
            "bytes_sent": 0 if receipt.was_there else receipt.size,
            "attempts": _with_attempt(None),
            "ends": _with_end(DeliveryState.DELIVERED),
        }
        outdated = {"$unset": ["due_at", "lease_owner", "error", "notes"]}
        return await self._change(lease.key, {"$set": done}, outdated) is not None

    @translate_errors
    async def fail(self, lease: Lease, error: ErrorInfo) -> bool:
        """End the delivery."""
        return await self._change(lease.key, *_failing(error)) is not None

    @translate_errors
    async def wait_for_retry(self, lease: Lease, error: ErrorInfo, delay: float) -> bool:
        """Let the delivery wait `delay` seconds for its next attempt."""
        waiting = {
            "state": DeliveryState.RETRY_WAIT.value,
            "error": literal(error_document(error)),
            "attempts": _with_attempt(error),
            "due_at": later(delay),
        }
        return await self._change(lease.key, {"$set": waiting}, {"$unset": ["lease_owner"]}) is not None

    @translate_errors
    async def give_back(self, lease: Lease) -> bool:
        """Return it because this process stops: the attempt does not count and the delivery is due immediately."""
        back = {
            "state": DeliveryState.PENDING.value,
            "attempt": {"$subtract": ["$attempt", 1]},
            "due_at": NOW,
        }
        return await self._change(lease.key, {"$set": back}, {"$unset": ["lease_owner"]}) is not None

    # Reporting ends

    @translate_errors
    async def with_ends(self, limit: int) -> list[Delivery]:
        """Deliveries with ends that are to be recorded, oldest end first."""
        found = self._deliveries.find({"ends": {"$exists": True}}, {"attempts": 0, "receipt": 0})
        return [from_document(d) async for d in found.sort("ends.at", ASCENDING).limit(limit)]

    @translate_errors
    async def ends_recorded(self, deliveries: Sequence[Delivery]) -> None:
        """The ends of these deliveries are recorded, unless they have ended again since."""
        if deliveries:
            recorded = [
                {"_id": one.id, "ends": {"$size": len(one.ends)}, "ends.at": one.ends[-1].at} for one in deliveries
            ]
            await self._deliveries.update_many({"$or": recorded}, {"$unset": {"ends": ""}})

    # Cleaning up and measuring

    @translate_errors
    async def fail_waiting(self, platform_id: str, error: ErrorInfo) -> int:
        """Fail deliveries that wait for a deleted platform; those that are being sent end by themselves."""
        where = {"platform_id": platform_id, **among(LIVE - HELD)}
        ended = await self._deliveries.update_many(where, [*_failing(error), {"$set": {"updated_at": NOW}}])
        return ended.modified_count

    @translate_errors
    async def forget(self, older_than: float) -> int:
        """Remove deliveries that ended more than `older_than` seconds ago; returns how many."""
        old = {"$expr": {"$lt": ["$updated_at", later(-older_than)]}}
        recorded: Document = {"ends": {"$exists": False}}
        return (await self._deliveries.delete_many({**among(ENDED), **old, **recorded})).deleted_count

    @translate_errors
    async def oldest_live_age(self) -> float:
        """Seconds since the oldest live delivery was created; 0 when there is none."""
        oldest: list[Document] = [{"$match": among(LIVE)}, {"$sort": {"created_at": 1}}, {"$limit": 1}]
        cursor = self._deliveries.aggregate([*oldest, {"$project": {"age": seconds_since("$created_at")}}])
        return max([float(document["age"]) async for document in cursor], default=0.0)


def _id(new: NewDelivery, of_jobs: Mapping[str, datetime]) -> str:
    first, second = new.ids
    job = new.file.created_at
    return second if second in of_jobs or of_jobs.get(first, job) != job else first


def _insertion(delivery_id: str, new: NewDelivery, failed: ErrorInfo | None) -> tuple[Document, Document]:
    """The document of a new delivery and its computed fields."""
    document, times = new_document(delivery_id, new), {"created_at": NOW, "updated_at": NOW}
    if failed is None:
        return document, {**times, "due_at": NOW}
    document |= {"state": DeliveryState.FAILED.value, "error": error_document(failed)}
    return document, {**times, "ends": [_end(DeliveryState.FAILED, failed.code)]}


def _with_attempt(error: ErrorInfo | None) -> Document:
    """The attempts, including the one that ends now; the last `ATTEMPTS_KEPT` of them."""
    past: Document = {"started_at": {"$ifNull": ["$started_at", NOW]}, "ended_at": NOW}
    if error is not None:
        past["trouble"] = literal(error_document(error))
    return {"$slice": [{"$concatArrays": [_ATTEMPTS, [past]]}, -ATTEMPTS_KEPT]}


def _end(state: DeliveryState, code: str = "") -> Document:
    return {"state": state.value, "at": NOW, "code": literal(code)}


def _with_end(state: DeliveryState, code: str = "") -> Document:
    return {"$concatArrays": [{"$ifNull": ["$ends", []]}, [_end(state, code)]]}


def _failing(error: ErrorInfo) -> list[Document]:
    failed = {
        "state": DeliveryState.FAILED.value,
        "error": literal(error_document(error)),
        "attempts": {"$cond": [_IS_HELD, _with_attempt(error), _ATTEMPTS]},
        "ends": _with_end(DeliveryState.FAILED, error.code),
    }
    return [{"$set": failed}, {"$unset": ["due_at", "lease_owner"]}]
