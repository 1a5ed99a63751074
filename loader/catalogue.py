"""What a load needs to know about a tenant's catalogue: the types of its columns; also creates its indexes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import pymongo.collection
from pymongo.errors import OperationFailure

from loader.errors import BadFile
from loader.values.kinds import ColumnTypes, Kind, TypeCount
from services.exporter.transcode.values import Document, leaves, parts

Documents = pymongo.collection.Collection[Document]

SAMPLE_PRODUCTS = 5_000
"""Products whose types are examined."""

INDEXES: Mapping[str, tuple[str, ...]] = {
    "products": ("sku", "family", "categories", "updated_at"),
    "suppliers": ("sku",),
}
"""Fields that are often used in filters; the loader itself finds products by `sku`."""

# The same index exists with other options or under another name.
_INDEX_EXISTS = {85, 86}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about the columns of a catalogue.

    Attributes:
        types: by exported name.
        ids: types of `_id`.
        has_own_ids: some products have a field called `id` in addition to `_id`.
    """

    types: Mapping[str, ColumnTypes]
    ids: ColumnTypes
    has_own_ids: bool

    @property
    def is_empty(self) -> bool:
        """Whether the catalogue has no products."""
        return not self.types


def known(collection: Documents, names: Iterable[str] = ()) -> Known:
    """The columns of a sample of the products, and those of `names` that only occur outside the sample.

    Raises:
        BadFile: the products have ids of a type that cannot be written in a file.
    """
    counts: dict[str, TypeCount] = {}
    ids = TypeCount()
    _count(collection.find().sort("_id", 1).limit(SAMPLE_PRODUCTS), counts, ids)
    if counts:
        paths = [".".join(parts(name)) for name in names if name not in counts and _is_path(name)]
        for start in range(0, len(paths), 100):
            has_one = [{path: {"$exists": True}} for path in paths[start : start + 100]]
            _count(collection.find({"$or": has_one}).limit(SAMPLE_PRODUCTS), counts, ids)
    if {Kind.BINARY, Kind.OTHER} & set(ids.types.kinds):
        raise BadFile("the catalogue has an _id of a type that cannot be written in a file")
    types = {name: count.types for name, count in counts.items()}
    return Known(types, ids.types, has_own_ids=any(parts(name)[0] == "_id" for name in types))


def _count(documents: Iterable[Document], counts: dict[str, TypeCount], ids: TypeCount) -> None:
    for document in documents:
        ids.add(document["_id"])
        for name, value in leaves(document):
            counts.setdefault(name, TypeCount()).add(value)


def _is_path(name: str) -> bool:
    """Whether MongoDB accepts the name as a path."""
    return "\\" not in name and "\0" not in name and all(part and part[0] != "$" for part in name.split("."))


def make_indexes(collection: Documents, fields: Collection[str]) -> None:
    """Create the indexes for filters on these top-level fields; existing indexes in another form are kept."""
    for field in INDEXES[collection.name]:
        if field in fields:
            index_on(collection, field)


def index_on(collection: Documents, field: str) -> None:
    """Create an index on one field, unless it exists."""
    try:
        collection.create_index([(field, 1)])
    except OperationFailure as exc:
        if exc.code not in _INDEX_EXISTS:
            raise
