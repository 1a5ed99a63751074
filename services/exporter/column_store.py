"""Remembers columns from export to export: the order they were first seen in, and the set a request found last time.

Only a hint. The header is always checked against the documents; a wrong hint costs a second pass and never a column.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.mongo import Database, translated

MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class ColumnMemory:
    """What is known of one collection before it is read.

    `order`: all names ever seen, in first-seen order. `last`: the names this very request found last time, or None.
    """

    order: tuple[str, ...] = ()
    last: tuple[str, ...] | None = None


def request_key(filters: object, include: Sequence[str] | None, exclude: Sequence[str]) -> str:
    """A key for requests that find the same columns in the same catalogue."""
    text = json.dumps([filters, include, exclude], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class ColumnStore:
    """The `columns` collection."""

    def __init__(self, database: Database) -> None:
        self._columns = database["columns"]

    @translated
    async def recall(self, tenant: str, collection: str, key: str) -> ColumnMemory:
        """What was remembered, empty when nothing was."""
        place = f"{tenant}/{collection}"
        found = {d["_id"]: d async for d in self._columns.find({"_id": {"$in": [place, f"{place}/{key}"]}})}
        last = found.get(f"{place}/{key}")
        return ColumnMemory(
            order=tuple(found.get(place, {}).get("names", ())),
            last=tuple(last["names"]) if last is not None else None,
        )

    @translated
    async def remember(
        self, tenant: str, collection: str, key: str, names: Sequence[str], *, extends_order: bool
    ) -> None:
        """Keep what a request found; `extends_order` appends names not met before to the collection's order."""
        place = f"{tenant}/{collection}"
        kept = {"$literal": list(names[:MOST_REMEMBERED])}
        await self._columns.update_one(
            {"_id": f"{place}/{key}"}, [{"$set": {"names": kept, "used_at": "$$NOW"}}], upsert=True
        )
        if extends_order:
            known = {"$ifNull": ["$names", []]}
            new = {"$filter": {"input": kept, "cond": {"$not": {"$in": ["$$this", known]}}}}
            joined = {"$slice": [{"$concatArrays": [known, new]}, MOST_REMEMBERED]}
            await self._columns.update_one({"_id": place}, [{"$set": {"names": joined}}], upsert=True)
