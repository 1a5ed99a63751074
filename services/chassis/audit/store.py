"""The stored entries: their indexes, how long they are kept, and pages of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import OperationFailure

from services.chassis import mongo
from services.chassis.audit.entry import Entry, Result, end_id, from_document
from services.chassis.audit.log import COLLECTION, DATABASE
from services.chassis.mongo import Client, Document, translate_errors
from services.chassis.paging import Page, Position, to_cursor

MAX_SCANNED = 2_000
"""Operations that a page looks at to find those without a result; it may have fewer items than asked for."""
SCAN_PAGE = 200
MAX_MS = 10_000
"""How long MongoDB searches for a page: a rare action in a long time range may take longer."""
INDEX_OPTIONS_CONFLICT = 85
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which operations of a tenant are listed; None: all."""

    tenant: str
    since: datetime | None = None
    """At this time or later."""
    until: datetime | None = None
    """Before this time."""
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    key_id: str | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of operations; the cursor is empty on the last one."""

    items: Sequence[Entry]
    next_cursor: str


class AuditStore:
    """The `entries` collection of the database `audit`, for reading."""

    def __init__(self, client: Client) -> None:
        self._database = client[DATABASE]
        self._entries = self._database[COLLECTION]

    @translate_errors
    async def prepare(self, days: float) -> None:
        """Create the indexes. Entries, including those stored earlier, are removed after `days` days."""
        order = [("at", DESCENDING), ("_id", DESCENDING)]
        begins, ends = {"begins": True}, {"result": {"$exists": True}}
        await self._entries.create_index([("tenant", ASCENDING), *order], partialFilterExpression=begins)
        await self._entries.create_index(
            [("tenant", ASCENDING), ("result", ASCENDING), *order], partialFilterExpression=ends
        )
        await self._entries.create_index([("tenant", ASCENDING), ("resources.id", ASCENDING), *order])
        await self._entries.create_index([("tenant", ASCENDING), ("key_id", ASCENDING), *order])
        seconds = round(days * SECONDS_PER_DAY)
        try:
            await self._entries.create_index([("at", ASCENDING)], expireAfterSeconds=seconds)
        except OperationFailure as exc:
            if exc.code != INDEX_OPTIONS_CONFLICT:
                raise
            changed = {"keyPattern": {"at": ASCENDING}, "expireAfterSeconds": seconds}
            await self._database.command("collMod", COLLECTION, index=changed)

    @translate_errors
    async def find(self, wanted: EntryFilter, *, before: Position | None, limit: int) -> Found:
        """Operations with their results, newest first, after the position `before` (at, id)."""
        if wanted.result is Result.UNKNOWN:
            return await self._without_result(wanted, before, limit)
        found = await self._page(_where(wanted), before, limit)
        if wanted.result is None:
            ends = await self._ends(found)
            found = found.converted(lambda one: ends.get(one.id, one))
        return Found(found, found.next_cursor(_position))

    async def _without_result(self, wanted: EntryFilter, before: Position | None, limit: int) -> Found:
        found: list[Entry] = []
        for _ in range(MAX_SCANNED // SCAN_PAGE):
            page = await self._page(_where(wanted), before, SCAN_PAGE)
            ends = await self._ends(page)
            for one in page:
                if one.id in ends:
                    continue
                if len(found) == limit:
                    return Found(found, to_cursor(*_position(found[-1])))
                found.append(one)
            if not page.has_more:
                return Found(found, "")
            before = _position(page[-1])
        return Found(found, to_cursor(*before) if before else "")

    async def _page(self, where: Document, before: Position | None, limit: int) -> Page[Entry]:
        found = await mongo.page(self._entries, where, after=before, limit=limit, by="at", max_ms=MAX_MS)
        return found.converted(from_document)

    async def _ends(self, begun: Iterable[Entry]) -> dict[str, Entry]:
        """The results of operations, by the operation's id."""
        ids = [end_id(one.id) for one in begun if one.result is None]
        ends = self._entries.find({"_id": {"$in": ids}}, max_time_ms=MAX_MS)
        return {one.id: one for one in [from_document(document) async for document in ends]}


def _where(wanted: EntryFilter) -> Document:
    where: Document = {"tenant": wanted.tenant}
    if wanted.result is None:
        where["begins"] = True
    elif wanted.result is Result.UNKNOWN:
        where |= {"begins": True, "result": {"$exists": False}}
    else:
        where["result"] = wanted.result.value
    bounds = {"$gte": wanted.since, "$lt": wanted.until}
    if times := {operator: at for operator, at in bounds.items() if at is not None}:
        where["at"] = times
    named = {"action": wanted.action, "key_id": wanted.key_id, "resources.id": wanted.resource_id}
    where |= {name: value for name, value in named.items() if value is not None}
    if wanted.resource_type is not None:
        one = {"type": wanted.resource_type, **({"id": wanted.resource_id} if wanted.resource_id else {})}
        where["resources"] = {"$elemMatch": one}
    return where


def _position(entry: Entry) -> Position:
    """Also right where documents are results, since their `_id` begins with the operation's."""
    return entry.at, entry.id
