"""Messages to webhooks in MongoDB.

`due_at` is when a message is to be sent next; while it is being sent, that is the end of the claim. It is absent once
the message has been delivered or has failed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis import mongo
from services.chassis.mongo import Database, Document, insert_missing, load, translate_errors
from services.chassis.mongo_expressions import NOW, is_due, later, literal
from services.chassis.paging import Page, Position
from services.delivery.webhooks.event import Event, body
from services.delivery.webhooks.webhook import Message, MessageState, Sent, Webhook

ATTEMPTS_KEPT = 20


class MessageStore:
    """The `webhook_messages` collection.

    Args:
        keep_days: how long messages are kept, like the events they report.
    """

    def __init__(self, database: Database, *, keep_days: float) -> None:
        self._messages = database["webhook_messages"]
        self._keep_seconds = int(keep_days * 86_400)

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._messages.create_index(
            [("tenant", ASCENDING), ("due_at", ASCENDING)], partialFilterExpression={"due_at": {"$exists": True}}
        )
        await self._messages.create_index([("webhook_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        await self._messages.create_index("created_at", expireAfterSeconds=self._keep_seconds)

    @translate_errors
    async def add(self, messages: Iterable[tuple[Webhook, Event]]) -> int:
        """Store a message for each event to a webhook, unless there is one; returns how many are new."""
        rows = [(_new(webhook, event), {"created_at": NOW, "due_at": NOW}) for webhook, event in messages]
        return len(await insert_missing(self._messages, rows))

    @translate_errors
    async def send_again(self, webhook: Webhook, events: Sequence[Event]) -> int:
        """Send these events to the webhook now, whatever has become of earlier messages; returns how many."""
        await self.add((webhook, event) for event in events)
        ids = [message_id(event.id, webhook.id) for event in events]
        again = {"state": MessageState.PENDING.value, "attempt": 0, "due_at": NOW, "fence": {"$add": ["$fence", 1]}}
        return (await self._messages.update_many({"_id": {"$in": ids}}, [{"$set": again}])).matched_count

    @translate_errors
    async def page(self, tenant: str, webhook_id: str, *, before: Position | None, limit: int) -> Page[Message]:
        """The messages to a webhook, newest first, after the position `before` (created_at, id)."""
        where = {"tenant": tenant, "webhook_id": webhook_id}
        found = await mongo.page(self._messages, where, after=before, limit=limit, without=["body"])
        return found.converted(_message)

    @translate_errors
    async def waiting_tenants(self) -> set[str]:
        """Tenants that have a message to be sent."""
        cursor = self._messages.aggregate([{"$match": is_due("due_at")}, {"$group": {"_id": "$tenant"}}])
        return {document["_id"] async for document in cursor}

    @translate_errors
    async def claim(self, tenant: str, seconds: float, *, busy: Sequence[str]) -> Message | None:
        """Claim a tenant's longest-due message to a webhook that is not busy, for `seconds`."""
        where = {"tenant": tenant, "webhook_id": {"$nin": list(busy)}, **is_due("due_at")}
        taken = {"due_at": later(seconds), "attempt": {"$add": ["$attempt", 1]}, "fence": {"$add": ["$fence", 1]}}
        found = await self._messages.find_one_and_update(
            where, [{"$set": taken}], sort=[("due_at", ASCENDING)], return_document=ReturnDocument.AFTER
        )
        return None if found is None else _message(found)

    @translate_errors
    async def ended(self, message: Message, state: MessageState, sent: Sent | None) -> None:
        """A claimed message is delivered or has failed; nothing changes if it was claimed again since."""
        await self._change(message, [{"$set": {"state": state.value, **_with(sent)}}, {"$unset": ["due_at"]}])

    @translate_errors
    async def postponed(self, message: Message, sent: Sent, pause: float) -> None:
        """A claimed message is to be sent again in `pause` seconds."""
        await self._change(message, [{"$set": {"due_at": later(pause), **_with(sent)}}])

    @translate_errors
    async def drop(self, webhook_id: str) -> int:
        """Fail all messages that wait for a webhook that is paused or deleted; returns how many."""
        where = {"webhook_id": webhook_id, "state": MessageState.PENDING.value}
        ended = {"$set": {"state": MessageState.FAILED.value}, "$unset": {"due_at": ""}}
        return (await self._messages.update_many(where, ended)).modified_count

    @translate_errors
    async def oldest_due_age(self) -> float:
        """Seconds since the longest due message was due; 0 when none is."""
        due = self._messages.find(is_due("due_at"), {"due_at": 1, "now": NOW}).sort("due_at", ASCENDING).limit(1)
        ages = [float((document["now"] - document["due_at"]).total_seconds()) async for document in due]
        return max(ages, default=0.0)

    async def _change(self, message: Message, stages: list[Document]) -> None:
        await self._messages.update_one({"_id": message.id, "fence": message.fence}, stages)


def message_id(event_id: str, webhook_id: str) -> str:
    """The id of the message about an event to a webhook."""
    return f"{event_id}/{webhook_id}"


def _new(webhook: Webhook, event: Event) -> Document:
    return {
        "_id": message_id(event.id, webhook.id),
        "tenant": webhook.tenant,
        "webhook_id": webhook.id,
        "event_id": event.id,
        "type": event.type,
        "body": body(event.type, event.at, event.data, event.sequence),
        "state": MessageState.PENDING.value,
        "attempt": 0,
        "attempts": [],
        "fence": 0,
    }


def _with(sent: Sent | None) -> Document:
    """The attempts with this one; the last `ATTEMPTS_KEPT` of them."""
    if sent is None:
        return {}
    return {"attempts": {"$slice": [{"$concatArrays": ["$attempts", [literal(asdict(sent))]]}, -ATTEMPTS_KEPT]}}


def _message(document: Document) -> Message:
    return load(
        Message,
        document,
        id=document["_id"],
        body=document.get("body", ""),
        state=MessageState(document["state"]),
        attempts=tuple(load(Sent, sent) for sent in document["attempts"]),
    )
