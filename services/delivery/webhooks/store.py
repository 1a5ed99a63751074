"""Webhooks in MongoDB. A change is a compare-and-set on the version that was read."""

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis import mongo
from services.chassis.mongo import Database, Document, find_current, insert_or_get, load, translate_errors
from services.chassis.mongo_expressions import NOW, difference, literal
from services.chassis.paging import Page, Position
from services.delivery.platforms.secrets import Sealed
from services.delivery.webhooks.webhook import PATIENCE, PauseReason, Webhook


class WebhookStore:
    """The `webhooks` collection."""

    def __init__(self, database: Database) -> None:
        self._webhooks = database["webhooks"]

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._webhooks.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        await self._webhooks.create_index([("is_active", ASCENDING), ("tenant", ASCENDING)])

    @translate_errors
    async def add(self, webhook: Webhook) -> Webhook:
        """Store a new webhook, or return the existing one with this id, unchanged."""
        new = _document(webhook)
        times = dict.fromkeys(("created_at", "updated_at", "active_since"), NOW)
        return _webhook(await insert_or_get(self._webhooks, {**new, **dict.fromkeys(times)}, times))

    @translate_errors
    async def get(self, tenant: str, webhook_id: str) -> Webhook | None:
        """A tenant's webhook; None only if it certainly does not exist, even just after an election."""
        document = await find_current(self._webhooks, {"_id": webhook_id, "tenant": tenant})
        return None if document is None else _webhook(document)

    @translate_errors
    async def count(self, tenant: str) -> int:
        """How many webhooks the tenant has."""
        return await self._webhooks.count_documents({"tenant": tenant})

    @translate_errors
    async def page(self, tenant: str, *, before: Position | None, limit: int) -> Page[Webhook]:
        """A tenant's webhooks, newest first, after the position `before` (created_at, id)."""
        found = await mongo.page(self._webhooks, {"tenant": tenant}, after=before, limit=limit)
        return found.converted(_webhook)

    @translate_errors
    async def active(self, tenant: str) -> list[Webhook]:
        """The tenant's active webhooks."""
        return [_webhook(d) async for d in self._webhooks.find({"tenant": tenant, "is_active": True})]

    @translate_errors
    async def tenants(self) -> list[str]:
        """The tenants that have an active webhook."""
        found: list[str] = await self._webhooks.distinct("tenant", {"is_active": True})
        return found

    @translate_errors
    async def change(self, before: Webhook, after: Webhook) -> Webhook | None:
        """Store what differs from the version that was read; None: it was changed or deleted since."""
        where = {"_id": before.id, "tenant": before.tenant, "version": before.version}
        update = difference(_document(before), _document(replace(after, version=before.version + 1)))
        changed = await self._webhooks.find_one_and_update(where, update, return_document=ReturnDocument.AFTER)
        return None if changed is None else _webhook(changed)

    @translate_errors
    async def delete(self, tenant: str, webhook_id: str, expected: datetime | None = None) -> bool:
        """Remove a webhook, if it was last changed when it is expected to have been."""
        where: Document = {"_id": webhook_id, "tenant": tenant}
        if expected is not None:
            where["updated_at"] = expected
        return (await self._webhooks.delete_one(where)).deleted_count == 1

    @translate_errors
    async def succeeded(self, webhook_id: str) -> None:
        """A request has succeeded: the webhook is not failing."""
        await self._webhooks.update_one(
            {"_id": webhook_id, "failing_since": {"$type": "date"}}, {"$set": {"failing_since": None}}
        )

    @translate_errors
    async def failed(self, webhook_id: str, at: datetime) -> bool:
        """A request that was made at this time has failed; returns whether the webhook has failed for too long."""
        await self._webhooks.update_one({"_id": webhook_id, "failing_since": None}, {"$set": {"failing_since": at}})
        patient = await self._webhooks.find_one(
            {"_id": webhook_id, "failing_since": {"$gt": at - PATIENCE}}, {"_id": 1}
        )
        return patient is None

    @translate_errors
    async def pause(self, webhook_id: str, reason: PauseReason) -> bool:
        """Pause an active webhook; False: it is not active."""
        paused = {"is_active": False, "paused_at": NOW, "pause_reason": literal(reason.value)}
        stages = [{"$set": {**paused, "version": {"$add": ["$version", 1]}, "updated_at": NOW}}]
        return (await self._webhooks.update_one({"_id": webhook_id, "is_active": True}, stages)).modified_count == 1

    @translate_errors
    async def sealed_with_another(self, version: int, limit: int) -> list[Webhook]:
        """Webhooks with a secret that is wrapped by another version of the master key."""
        others: Sequence[Document] = [
            {f"{name}.version": {"$exists": True, "$ne": version}} for name in ("secret", "previous_secret")
        ]
        return [_webhook(d) async for d in self._webhooks.find({"$or": others}).limit(limit)]


def _document(webhook: Webhook) -> Document:
    previous = webhook.previous_secret
    return {
        **{one.name: getattr(webhook, one.name) for one in fields(webhook) if one.name != "id"},
        "_id": webhook.id,
        "events": list(webhook.events),
        "secret": asdict(webhook.secret),
        "previous_secret": None if previous is None else asdict(previous),
    }


def _webhook(document: Document) -> Webhook:
    previous = document.get("previous_secret")
    return load(
        Webhook,
        document,
        id=document["_id"],
        events=tuple(document["events"]),
        secret=load(Sealed, document["secret"]),
        previous_secret=load(Sealed, previous) if previous else None,
    )
