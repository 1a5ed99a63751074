"""Writes entries into a collection, up to a thousand at a time, and counts the outcomes."""

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
from loader.values.cells import shows
from loader.values.identity import Key, Show, shown_as
from services.chassis.mongo import is_transient
from services.exporter.transcode.values import CODEC, Document, text

MAX_BATCH = 1_000
MAX_BATCH_CHARACTERS = 8 << 20
MAX_DOCUMENT_BYTES = 16 << 20
_DUPLICATE_KEY = 11000

Write = InsertOne[Any] | UpdateOne
Entries = Iterator[Entry | Refused]
Change = Callable[[int, Document | None, Document], None]
"""Called with a line, and the product before (None: it is new) and after."""


@dataclass(slots=True)
class Outcome:
    """The counts of records so far; `fields` are the top-level fields that were written."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    fields: set[str] = field(default_factory=set)

    @property
    def loaded(self) -> int:
        """Records whose product now has the values of the file."""
        return self.created + self.changed + self.unchanged


def batches(entries: Iterable[Entry | Refused]) -> Iterator[list[Entry | Refused]]:
    """Batches of limited size in which no product occurs twice, so that the order within a batch does not matter."""
    batch: list[Entry | Refused] = []
    named: set[tuple[str, str]] = set()
    size = 0
    for entry in entries:
        names = _names(entry)
        if batch and (len(batch) >= MAX_BATCH or size >= MAX_BATCH_CHARACTERS or not named.isdisjoint(names)):
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
    """Writes to one collection.

    Args:
        show: how the file's format writes a value.
        id_fields: the fields that an entry's id may refer to: `_id`, then possibly `id`.
        outcome: updated after every batch.
        refuse: called with every record that could not be loaded.
        change: called with every change before it is written.
        dry_run: write nothing; changes are reported and counted as if they had been written.
    """

    def __init__(
        self,
        collection: Documents,
        show: Show,
        id_fields: Sequence[str],
        outcome: Outcome,
        refuse: Callable[[Refused], None],
        change: Change,
        *,
        dry_run: bool,
    ) -> None:
        self._collection = collection
        self._show = show
        self._id_fields = id_fields
        self._refuse = refuse
        self._change = change
        self._dry_run = dry_run
        self._outcome = outcome

    def write(self, batch: list[Entry | Refused]) -> None:
        """Load one of `batches`.

        Raises:
            PyMongoError: a write failed; parts of this batch may have been written, but none of it is counted.
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
        """The existing products, by field and the written form of the field's value."""
        found: dict[tuple[str, str], list[Document]] = defaultdict(list)
        by_id = [entry.id for entry in entries if entry.id]
        for name in self._id_fields:
            self._find(name, by_id, found)
        without = [
            entry for entry in entries if not (entry.id and any((n, entry.id.shown) in found for n in self._id_fields))
        ]
        self._find("sku", [entry.sku for entry in without if entry.sku], found)
        return found

    def _find(self, name: str, keys: Sequence[Key], found: dict[tuple[str, str], list[Document]]) -> None:
        values = [value for key in keys for value in key.candidates]
        for document in self._collection.find({name: {"$in": values}}) if values else ():
            for shown in shown_as(document[name], self._show):
                found[name, shown].append(document)

    def _product(self, entry: Entry, found: dict[tuple[str, str], list[Document]]) -> Document | None:
        fields, key = (self._id_fields, entry.id) if entry.id else (("sku",), entry.sku)
        for name in fields:
            products = found.get((name, key.shown), ()) if isinstance(key, Key) else ()
            if len(products) > 1:
                hint = "give the id" if name == "sku" else "load JSON, which distinguishes text from numbers"
                raise BadRecord(f"{len(products)} products have this {'sku' if name == 'sku' else 'id'}; {hint}")
            if products:
                return products[0]
        if entry.id and entry.sku and self._show is text:
            same = [old for old in found.get(("sku", entry.sku.shown), ()) if self._is_id_of(entry.id, old)]
            return same[0] if len(same) == 1 else None
        return None

    def _is_id_of(self, key: Key, product: Document) -> bool:
        """Whether a spreadsheet may have made the key of the product's id: `1` of `000001`."""
        return any(shows(key.shown, product[name]) for name in self._id_fields if name in product)

    def _write(self, entry: Entry, old: Document | None) -> Write | None:
        document = entry.applied(old)
        if old is None:
            encoded = RawBSONDocument(_encoded(document))
            self._outcome.fields.update(document)
            self._change(entry.line, None, document)
            return InsertOne(encoded)
        stages = [_set(key, document[key]) for key in document if key not in old or document[key] is not old[key]]
        stages += [_set(key, None, remove=True) for key in old if key not in document]
        if not stages:
            return None
        _encoded(document)
        self._outcome.fields.update(document)
        self._change(entry.line, old, document)
        return UpdateOne({"_id": old["_id"]}, stages)

    def _send(self, writes: list[tuple[int, Write]]) -> list[Refused]:
        if not writes:
            return []
        failed: dict[int, str] = {}
        try:
            if not self._dry_run:
                self._collection.bulk_write([write for _, write in writes], ordered=False)
        except BulkWriteError as exc:
            if exc.details.get("writeConcernErrors"):
                raise
            failed = {error["index"]: _reason(error) for error in exc.details["writeErrors"]}
        except OperationFailure as exc:
            if is_transient(exc) or exc.code in _NOT_ALLOWED:
                raise
            if len(writes) > 1:  # the whole command was rejected: send the writes one by one to find the culprit
                return [refused for write in writes for refused in self._send([write])]
            failed = {0: f"MongoDB rejects it: {str(exc)[:200]}"}
        written = [write for index, (_, write) in enumerate(writes) if index not in failed]
        created = sum(isinstance(write, InsertOne) for write in written)
        self._outcome.created += created
        self._outcome.changed += len(written) - created
        return [Refused(writes[index][0], reason) for index, reason in failed.items()]


_NOT_ALLOWED = {13, 18}


def _set(key: str, value: Any, *, remove: bool = False) -> Document:
    """A stage that sets or removes one field; its name may contain dots and dollars."""
    value = "$$REMOVE" if remove else {"$literal": value}
    return {"$replaceWith": {"$setField": {"field": {"$literal": key}, "input": "$$ROOT", "value": value}}}


def _encoded(document: Document) -> bytes:
    try:
        encoded = bson.encode(document, codec_options=CODEC)
    except (BSONError, UnicodeEncodeError, OverflowError, RecursionError) as exc:
        raise BadRecord(f"MongoDB cannot store it: {str(exc)[:200]}") from exc
    if len(encoded) > MAX_DOCUMENT_BYTES:
        raise BadRecord(f"it has {len(encoded):,} bytes, but a MongoDB document can have only {MAX_DOCUMENT_BYTES:,}")
    return encoded


def _reason(error: Any) -> str:
    if error["code"] == _DUPLICATE_KEY:
        return f"a product with this key already exists: {error['errmsg'][:200]}"
    return f"MongoDB rejects it: {error['errmsg'][:200]}"
