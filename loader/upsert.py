"""Writes entries into a collection, about a thousand at a time, and counts what became of each."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from loader.catalogue import Documents
from loader.entries.entry import Entry, Refused
from loader.errors import BadRecord
from loader.values.identity import Key, Show, shown_as
from services.chassis.mongo import is_transient
from services.exporter.transcode.values import CODEC, Document

BATCH = 1_000
BATCH_CHARACTERS = 8 << 20
LONGEST_DOCUMENT = 16 << 20
_DUPLICATE_KEY = 11000

Write = InsertOne[Any] | UpdateOne
Entries = Iterator[Entry | Refused]


@dataclass(slots=True)
class Outcome:
    """What became of the records so far; `fields` are the top-level fields written."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    fields: set[str] = field(default_factory=set)

    @property
    def loaded(self) -> int:
        """Records whose product now says what the file says."""
        return self.created + self.changed + self.unchanged


def batches(entries: Iterable[Entry | Refused]) -> Iterator[list[Entry | Refused]]:
    """Groups of a bounded size in which no product is named twice, so that the order within does not matter."""
    batch: list[Entry | Refused] = []
    named: set[tuple[str, str]] = set()
    size = 0
    for entry in entries:
        names = _names(entry)
        if batch and (len(batch) >= BATCH or size >= BATCH_CHARACTERS or not named.isdisjoint(names)):
            yield batch
            batch, named, size = [], set(), 0
        batch.append(entry)
        named.update(names)
        size += entry.size if isinstance(entry, Entry) else 0
    if batch:
        yield batch


def _names(entry: Entry | Refused) -> list[tuple[str, str]]:
    if isinstance(entry, Refused):
        return []
    return [(name, key.shown) for name, key in (("id", entry.id), ("sku", entry.sku)) if key]


class Upsert:
    """Writes into one collection.

    Args:
        show: how the file's format writes a value.
        id_fields: what an entry's id may be: `_id`, then perhaps an `id` of the product's own.
        outcome: is kept up to date.
        refuse: is told of every record that could not be loaded.
    """

    def __init__(
        self,
        collection: Documents,
        show: Show,
        id_fields: Sequence[str],
        outcome: Outcome,
        refuse: Callable[[Refused], None],
    ) -> None:
        self._collection = collection
        self._show = show
        self._id_fields = id_fields
        self._refuse = refuse
        self._outcome = outcome

    def write(self, batch: list[Entry | Refused]) -> None:
        """Load one of `batches`.

        Raises:
            PyMongoError: MongoDB does not take writes; of this batch some may have been written and none are counted.
        """
        entries = [entry for entry in batch if isinstance(entry, Entry)]
        found = self._found(entries)
        refused = [entry for entry in batch if isinstance(entry, Refused)]
        writes: list[tuple[int, Write]] = []
        unchanged = 0
        for entry in entries:
            try:
                write = self._write(entry, self._product(entry, found))
                if write is None:
                    unchanged += 1
                else:
                    writes.append((entry.line, write))
            except BadRecord as exc:
                refused.append(Refused(entry.line, str(exc)))
        refused += self._send(writes)
        self._outcome.unchanged += unchanged
        self._outcome.refused += len(refused)
        for one in sorted(refused, key=lambda refused: refused.line):
            self._refuse(one)

    def _found(self, entries: Sequence[Entry]) -> dict[tuple[str, str], list[Document]]:
        """The products that are there, by field and by how the field's value is shown."""
        found: dict[tuple[str, str], list[Document]] = defaultdict(list)
        by_sku = [entry.sku for entry in entries if entry.id is None and entry.sku]
        by_id = [entry.id for entry in entries if entry.id]
        for name, keys in [*((name, by_id) for name in self._id_fields), ("sku", by_sku)]:
            values = [value for key in keys for value in key.candidates]
            for document in self._collection.find({name: {"$in": values}}) if values else ():
                for shown in shown_as(document[name], self._show):
                    found[name, shown].append(document)
        return found

    def _product(self, entry: Entry, found: dict[tuple[str, str], list[Document]]) -> Document | None:
        fields, key = (self._id_fields, entry.id) if entry.id else (("sku",), entry.sku)
        for name in fields:
            products = found.get((name, key.shown), ()) if isinstance(key, Key) else ()
            if len(products) > 1:
                hint = "give the id" if name == "sku" else "load JSON, which tells texts from numbers"
                raise BadRecord(f"{len(products)} products have this {'sku' if name == 'sku' else 'id'}; {hint}")
            if products:
                return products[0]
        return None

    def _write(self, entry: Entry, old: Document | None) -> Write | None:
        document = entry.applied(old)
        if old is None:
            self._outcome.fields.update(document)
            return InsertOne(RawBSONDocument(_encoded(document)))
        stages = [_set(key, document[key]) for key in document if key not in old or document[key] is not old[key]]
        stages += [_set(key, None, remove=True) for key in old if key not in document]
        if not stages:
            return None
        _encoded(document)
        self._outcome.fields.update(document)
        return UpdateOne({"_id": old["_id"]}, stages)

    def _send(self, writes: list[tuple[int, Write]]) -> list[Refused]:
        if not writes:
            return []
        failed: dict[int, str] = {}
        try:
            self._collection.bulk_write([write for _, write in writes], ordered=False)
        except BulkWriteError as exc:
            if exc.details.get("writeConcernErrors"):
                raise
            failed = {error["index"]: _reason(error) for error in exc.details["writeErrors"]}
        except OperationFailure as exc:
            if is_transient(exc) or exc.code in _NOT_ALLOWED:
                raise
            if len(writes) > 1:  # one of them spoils the command: each by itself names it
                return [refused for write in writes for refused in self._send([write])]
            failed = {0: f"MongoDB refuses it: {str(exc)[:200]}"}
        written = [write for index, (_, write) in enumerate(writes) if index not in failed]
        created = sum(isinstance(write, InsertOne) for write in written)
        self._outcome.created += created
        self._outcome.changed += len(written) - created
        return [Refused(writes[index][0], reason) for index, reason in failed.items()]


_NOT_ALLOWED = {13, 18}


def _set(key: str, value: Any, *, remove: bool = False) -> Document:
    """A stage that sets or removes one field, whatever dots and dollars its name has."""
    value = "$$REMOVE" if remove else {"$literal": value}
    return {"$replaceWith": {"$setField": {"field": {"$literal": key}, "input": "$$ROOT", "value": value}}}


def _encoded(document: Document) -> bytes:
    try:
        encoded = bson.encode(document, codec_options=CODEC)
    except (BSONError, UnicodeEncodeError, OverflowError, RecursionError) as exc:
        raise BadRecord(f"MongoDB cannot hold it: {str(exc)[:200]}") from exc
    if len(encoded) > LONGEST_DOCUMENT:
        raise BadRecord(f"it has {len(encoded):,} bytes, MongoDB holds {LONGEST_DOCUMENT:,} a document")
    return encoded


def _reason(error: Any) -> str:
    if error["code"] == _DUPLICATE_KEY:
        return f"MongoDB has a product with this key already: {error['errmsg'][:200]}"
    return f"MongoDB refuses it: {error['errmsg'][:200]}"
