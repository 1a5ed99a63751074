"""Remembers columns from export to export: the order they were first seen in, and the set a request found last time.

Only a hint. The header is always checked against the documents; a wrong hint costs a second pass and never a column.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate

from pymongo.errors import DuplicateKeyError

from services.chassis.mongo import Database, Document, translate_errors

MOST_REMEMBERED = 20_000
MOST_BYTES = 4 * 1024 * 1024
"""Of names in one document; MongoDB's own limit is 16 MiB."""
_NO_WIDTHS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class ColumnMemory:
    """What is known of one collection before it is read.

    `order`: all names ever seen, in first-seen order. `last`: the names this very request found last time, or None.
    `widths`: of their columns, in characters, where they were found too.
    """

    order: tuple[str, ...] = ()
    last: tuple[str, ...] | None = None
    widths: Mapping[str, int] = field(default_factory=dict)


def request_key(filters: object, include: Sequence[str] | None, exclude: Sequence[str]) -> str:
    """A key for requests that find the same columns in the same catalogue."""
    text = json.dumps([filters, include, exclude], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class ColumnStore:
    """The `columns` collection."""

    def __init__(self, database: Database) -> None:
        self._columns = database["columns"]

    @translate_errors
    async def recall(self, tenant: str, collection: str, key: str) -> ColumnMemory:
        """What was remembered, empty when nothing was."""
        place = f"{tenant}/{collection}"
        found = {d["_id"]: d async for d in self._columns.find({"_id": {"$in": [place, f"{place}/{key}"]}})}
        last = found.get(f"{place}/{key}")
        return ColumnMemory(
            order=tuple(found.get(place, {}).get("names", ())),
            last=tuple(last["names"]) if last is not None else None,
            widths=dict(zip(last["names"], last.get("widths", ()), strict=False)) if last is not None else {},
        )

    @translate_errors
    async def remember(
        self,
        tenant: str,
        collection: str,
        key: str,
        names: Sequence[str],
        widths: Mapping[str, int] = _NO_WIDTHS,
        *,
        extends_order: bool,
    ) -> None:
        """Keep what a request found; `extends_order` appends names not met before to the collection's order.

        Names beyond what a document can hold are not kept. Widths are given for all the names, or for none.
        """
        place = f"{tenant}/{collection}"
        fitting = _fitting(names)
        kept = {"$literal": fitting}
        found = {"names": kept, "widths": [widths[name] for name in fitting] if widths else [], "used_at": "$$NOW"}
        with suppress(DuplicateKeyError):  # another export of the same request was first
            await self._columns.update_one({"_id": f"{place}/{key}"}, [{"$set": found}], upsert=True)
            if extends_order:
                await self._columns.update_one({"_id": place}, [{"$set": {"names": _joined(kept)}}], upsert=True)


def _joined(names: Document) -> Document:
    """An expression: the names known, and these after them, unless that is too much for a document."""
    known = {"$ifNull": ["$names", []]}
    new = {"$filter": {"input": names, "cond": {"$not": {"$in": ["$$this", known]}}}}
    joined = {"$slice": [{"$concatArrays": [known, new]}, MOST_REMEMBERED]}
    fits = {"$lt": [{"$bsonSize": {"names": joined}}, MOST_BYTES]}
    return {"$cond": [fits, joined, known]}


def _fitting(names: Sequence[str]) -> list[str]:
    sizes = accumulate(len(name.encode()) + 16 for name in names[:MOST_REMEMBERED])
    return [name for name, size in zip(names, sizes, strict=False) if size < MOST_BYTES]
