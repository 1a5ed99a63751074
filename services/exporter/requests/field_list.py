"""Lists the fields of a catalogue for people and programs that build a request, from a sample within a time limit."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from services.chassis.faults import BadRequest, Unavailable, Violation
from services.chassis.mongo import Document, is_transient
from services.chassis.recent import Recent
from services.exporter.catalogue.codes import keyed_by
from services.exporter.catalogue.column_store import ColumnStore, request_key
from services.exporter.catalogue.snapshot import database_name
from services.exporter.requests.sample import CatalogueSample, kind_of
from services.exporter.transcode.values import leaves, parts, text

COLLECTIONS = ("products", "suppliers")
SAMPLE_SECONDS = 1.5
KEPT_SECONDS = 30.0
MAX_KEPT = 50
MAX_FIELDS, MAX_NAME, MAX_EXAMPLE = 2_000, 500, 100
"""Fields of a list, and characters of a name and of an example: a list has about 2 MB at most."""


@dataclass(slots=True)
class FoundField:
    """A field of the sampled documents; `filled` counts those in which it has a value."""

    name: str
    types: set[str] = field(default_factory=set)
    filled: int = 0
    example: str = ""
    keyed_by: str = ""
    """What its last key is, and all those beside it: `locale`, `currency`, or neither."""

    def add(self, value: object) -> None:
        """Note the value in one more document."""
        self.types.add("array" if isinstance(value, list) else kind_of(value))
        shown = text(value)
        if shown:
            self.filled += 1
            self.example = self.example or shown[:MAX_EXAMPLE]


@dataclass(frozen=True, slots=True)
class FieldList:
    """The fields of a collection, in the order of the columns of an export.

    Args:
        sampled: documents that were read.
        documents: of the collection, as its metadata say.
    """

    fields: tuple[FoundField, ...]
    sampled: int
    documents: int


class FieldLists:
    """The lists of all tenants; each is kept for half a minute."""

    def __init__(self, client: MongoClient[Document], columns: ColumnStore) -> None:
        self._client = client
        self._columns = columns
        self._recent = Recent[FieldList](KEPT_SECONDS, max_entries=MAX_KEPT)

    async def of(self, tenant: str, collection: str) -> FieldList:
        """The fields of a tenant's collection.

        Raises:
            BadRequest: there is no such collection.
            Unavailable: the catalogue does not answer.
        """
        if collection not in COLLECTIONS:
            raise BadRequest([Violation("collection", f"must be one of {', '.join(COLLECTIONS)}")])
        key = f"{tenant}/{collection}"
        found = self._recent.get(key)
        if found is None:
            known = (await self._columns.recall(tenant, collection, request_key({}, None, ()))).order
            found = await asyncio.to_thread(list_fields, self._client, tenant, collection, known)
            self._recent.put(key, found)
        return found


def list_fields(
    client: MongoClient[Document],
    tenant: str,
    collection: str,
    known: Iterable[str],
    *,
    seconds: float = SAMPLE_SECONDS,
) -> FieldList:
    """Read a sample. Blocks: call it in a thread.

    Args:
        known: names of columns from earlier exports, which may be in none of the sampled documents.
    """
    found = {name: FoundField(name) for name in known if len(name) <= MAX_NAME}
    sampled = 0
    try:
        documents = client[database_name(tenant)][collection]
        count = documents.estimated_document_count()
        sample = CatalogueSample(documents, seconds)
        for document in sample.documents():
            if sample.is_over():
                break
            sampled += 1
            for name, value in leaves(document):
                if name in found or (len(found) < MAX_FIELDS and len(name) <= MAX_NAME):
                    found.setdefault(name, FoundField(name)).add(value)
    except PyMongoError as exc:
        if not is_transient(exc):
            raise
        raise Unavailable("catalogue_unavailable", "The catalogue does not answer; try again shortly.") from exc
    fields = tuple(found.values())[:MAX_FIELDS]
    _mark_codes(fields)
    return FieldList(fields, sampled, max(count, sampled))


def _mark_codes(fields: Iterable[FoundField]) -> None:
    """Note which fields are below an object with locales or currencies as keys."""
    groups: dict[tuple[str, ...], dict[str, FoundField]] = {}
    for one in fields:
        *above, key = parts(one.name)
        groups.setdefault(tuple(above), {})[key] = one
    for keys, group in groups.items():
        kind = keyed_by(frozenset(group)) if keys else ""
        for one in group.values():
            one.keyed_by = kind
