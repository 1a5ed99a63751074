"""Queries a catalogue before a request is accepted, within a fixed time, however large the catalogue is.

Fields that cannot be checked within the time limit are accepted. If they do not exist, the job gets a warning.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout

from services.chassis.mongo import Document
from services.exporter.catalogue.columns import Selection
from services.exporter.requests.filters import name_problem, paths
from services.exporter.transcode import discover
from services.exporter.transcode.values import as_object, documents, parts

SAMPLE_DOCUMENTS = 1_000
BATCH_DOCUMENTS = 100

_KINDS: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "int",
    Int64: "long",
    float: "double",
    Decimal128: "decimal",
    datetime: "date",
    DatetimeMS: "date",
    ObjectId: "objectId",
    bytes: "binData",
    Binary: "binData",
    dict: "object",
    type(None): "null",
}


class CatalogueSample:
    """Queries to one collection of a catalogue.

    Args:
        seconds: the time limit for all queries together.
    """

    def __init__(self, collection: Collection[Document], seconds: float) -> None:
        self._collection = collection
        self._deadline = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether the time limit is reached."""
        return time.monotonic() >= self._deadline

    def finds(self, query: Mapping[str, Any]) -> bool:
        """Whether a document matches; also True when the time limit is reached first."""
        try:
            found = self.is_over() or self._collection.find_one(query, {"_id": 1}, max_time_ms=self._millis())
        except ExecutionTimeout:
            return True
        return bool(found)

    def has_any(self, names: Iterable[str]) -> bool:
        """Whether a document has one of the fields; names that MongoDB has no path for are ignored."""
        found = [{path: {"$exists": True}} for name in names if name_problem(name) is None for path in paths(name)]
        return bool(found) and self.finds({"$or": found})

    def documents(self) -> Iterator[Document]:
        """The first documents, as many as there is time for."""
        for batch in self._sample({}, None):
            yield from documents(batch)

    def sampled_names(self) -> tuple[tuple[str, ...], bool]:
        """The names of the leaves in the first documents, and whether those are all documents of the collection."""
        seen: dict[str, bool] = {}
        count = 0
        for batch in self._sample({}, None):
            discover(batch, Selection(), seen)
            count += len(documents(batch))
        return tuple(seen), count < SAMPLE_DOCUMENTS and not self.is_over()

    def kinds(self, name: str) -> frozenset[str]:
        """MongoDB's names of the types that a field holds, also inside lists, in the first documents that have it."""
        where = paths(name)
        roots = {path.partition(".")[0]: 1 for path in where} if len(where) > 1 else {where[0]: 1}
        query = {"$or": [{path: {"$exists": True}} for path in where]}
        found: set[str] = set()
        for batch in self._sample(query, roots):
            for document in documents(batch):
                found.update(_kinds(document, _keys(document, name)))
        return frozenset(found)

    def _sample(self, query: Mapping[str, Any], projection: Mapping[str, Any] | None) -> Iterator[bytes]:
        if self.is_over():
            return
        try:
            cursor = self._collection.find_raw_batches(
                query, projection, limit=SAMPLE_DOCUMENTS, batch_size=BATCH_DOCUMENTS, max_time_ms=self._millis()
            )
            with cursor:
                for batch in cursor:
                    yield cast(bytes, batch)
                    if self.is_over():
                        return
        except ExecutionTimeout:
            return

    def _millis(self) -> int:
        return max(1, int(1000 * (self._deadline - time.monotonic())))


def _keys(document: Document, name: str) -> list[str]:
    """The keys of a field's path: `id` means `_id` unless the document has a field called `id`."""
    first, *rest = parts(name)
    return ["_id" if first == "id" and "id" not in document else first, *rest]


def _kinds(value: Any, keys: list[str]) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            if not keys or isinstance(item, dict):
                yield from _kinds(item, keys) if keys else [kind_of(item)]
    elif not keys:
        yield kind_of(value)
    elif keys[0] in (inside := as_object(value) or {}):
        yield from _kinds(inside[keys[0]], keys[1:])


def kind_of(value: Any) -> str:
    """MongoDB's name of the type of a value that is not a list; `other` for rare types."""
    return _KINDS.get(value.__class__, "other")
