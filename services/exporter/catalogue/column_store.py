"""Remembers columns between exports: the order in which they were first seen, and the set that a request last found.

This is only a hint: the header is always checked against the documents. A wrong hint costs a second pass over the
documents, but never a column.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate

from pymongo.errors import DuplicateKeyError

from services.chassis.mongo import Database, Document, translate_errors
from services.chassis.recent import Recent

MAX_NAMES = 20_000
MAX_NAME_BYTES = 4 * 1024 * 1024
"""Of all names in one stored document; MongoDB's limit for a document is 16 MiB."""
RECENT_SECONDS = 5.0
"""How long columns are used without being read again; they are only a hint."""
MAX_RECENT, MAX_RECENT_NAMES = 200, 2_000
"""Collections and requests kept for that time, and names of one of them: about 30 MB at most."""
_NO_WIDTHS: Mapping[str, int] = {}
_NO_TYPES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class RememberedColumns:
    """What is known about one collection before it is read.

    `order`: all names ever seen, in first-seen order. `last`: the columns that the same request found last time, or
    None. `widths`: the widths of those columns, in characters, if they were determined. `types`: their types, likewise
    (see transcode/column_types.py). `whole`: the columns that the
    last export of all documents with all fields found, if they help to predict those of a first export.
    """

    order: tuple[str, ...] = ()
    last: tuple[str, ...] | None = None
    widths: Mapping[str, int] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)


def request_key(filters: object, include: Sequence[object] | None, exclude: Sequence[str], *others: object) -> str:
    """A key that is equal for requests which find the same columns in the same catalogue."""
    text = json.dumps([filters, include, exclude, *others], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class ColumnStore:
    """The `columns` collection."""

    def __init__(self, database: Database) -> None:
        self._columns = database["columns"]
        self._recent = Recent[RememberedColumns](RECENT_SECONDS, max_entries=MAX_RECENT)

    @translate_errors
    async def recall(self, tenant: str, collection: str, key: str) -> RememberedColumns:
        """The columns of the last exports; empty when there was none."""
        whole = f"{tenant}/{collection}"
        if (recent := self._recent.get(f"{whole}/{key}")) is not None:
            return recent
        found = {d["_id"]: d async for d in self._columns.find({"_id": {"$in": [whole, f"{whole}/{key}"]}})}
        last = found.get(f"{whole}/{key}")
        remembered = RememberedColumns(
            order=tuple(found.get(whole, {}).get("names", ())),
            last=tuple(last["names"]) if last is not None else None,
            widths=dict(zip(last["names"], last.get("widths", ()), strict=False)) if last is not None else {},
            types=dict(zip(last["names"], last.get("types", ()), strict=False)) if last is not None else {},
        )
        if remembered.last is not None and len(remembered.order) + len(remembered.last) <= MAX_RECENT_NAMES:
            self._recent.put(f"{whole}/{key}", remembered)
        return remembered

    @translate_errors
    async def remember(
        self,
        tenant: str,
        collection: str,
        key: str,
        columns: Sequence[str],
        widths: Mapping[str, int] = _NO_WIDTHS,
        types: Mapping[str, str] = _NO_TYPES,
        *,
        order: Sequence[str],
    ) -> None:
        """Store the columns that a request found; new names in `order` are appended to the collection's order.

        Names that do not fit into a stored document are dropped. Widths are given for all columns, or for none;
        so are types. Those that are not given are kept if the columns are still the same.
        """
        whole = f"{tenant}/{collection}"
        fitting = _fitting(columns)
        found = {
            "names": {"$literal": fitting},
            "widths": [widths[name] for name in fitting] if widths else _kept("widths", fitting),
            "types": {"$literal": [types[name] for name in fitting]} if types else _kept("types", fitting),
            "used_at": "$$NOW",
        }
        with suppress(DuplicateKeyError):  # another export of the same request was faster
            await self._columns.update_one({"_id": f"{whole}/{key}"}, [{"$set": found}], upsert=True)
            if order:
                joined = _joined({"$literal": _fitting(order)})
                await self._columns.update_one({"_id": whole}, [{"$set": {"names": joined}}], upsert=True)
        self._recent.drop(f"{whole}/{key}")


def _kept(name: str, columns: Sequence[str]) -> Document:
    """An expression: the stored list, if it is that of the same columns."""
    return {"$cond": [{"$eq": ["$names", {"$literal": columns}]}, {"$ifNull": [f"${name}", []]}, []]}


def _joined(names: Document) -> Document:
    """An expression: the known names followed by the new ones; only the known names if all are too large to store."""
    known = {"$ifNull": ["$names", []]}
    new = {"$filter": {"input": names, "cond": {"$not": {"$in": ["$$this", known]}}}}
    joined = {"$slice": [{"$concatArrays": [known, new]}, MAX_NAMES]}
    fits = {"$lt": [{"$bsonSize": {"names": joined}}, MAX_NAME_BYTES]}
    return {"$cond": [fits, joined, known]}


def _fitting(names: Sequence[str]) -> list[str]:
    sizes = accumulate(len(name.encode()) + 16 for name in names[:MAX_NAMES])
    return [name for name, size in zip(names, sizes, strict=False) if size < MAX_NAME_BYTES]
