"""The types of a column in a CSV file, taken from the values of a catalogue or from the spelling of its cells."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from bson import Binary, Code, Decimal128, ObjectId
from bson.binary import ALL_UUID_SUBTYPES
from bson.datetime_ms import DatetimeMS


class Kind(Enum):
    """The types that a cell can be read as."""

    TEXT = 1
    BOOL = 2
    INT = 3
    DOUBLE = 4
    DECIMAL = 5
    DATE = 6
    OBJECT_ID = 7
    UUID = 8
    BINARY = 9
    LIST = 10
    OBJECT = 11
    OTHER = 12


NUMBERS = (Kind.INT, Kind.DOUBLE, Kind.DECIMAL)

IN_WORDS = {
    Kind.TEXT: "text",
    Kind.BOOL: "true or false",
    **dict.fromkeys(NUMBERS, "a number"),
    Kind.DATE: "a date",
    Kind.OBJECT_ID: "an ObjectId",
    Kind.UUID: "a UUID",
    Kind.BINARY: "base64",
    Kind.LIST: "a list",
    Kind.OBJECT: "an object",
}


@dataclass(frozen=True, slots=True)
class ColumnTypes:
    """The kinds of a column's values and of the items in its lists, most frequent first.

    `inferred`: from the cells of a file instead of a catalogue; a cell that fits none of the kinds is then text.
    """

    kinds: tuple[Kind, ...] = ()
    items: tuple[Kind, ...] = ()
    inferred: bool = False


class TypeCount:
    """Counts the kinds of a column's values, for its `ColumnTypes`."""

    def __init__(self) -> None:
        self._kinds: Counter[Kind] = Counter()
        self._items: Counter[Kind] = Counter()

    def add(self, value: Any) -> None:
        """Count one value; null is ignored."""
        if value is not None:
            self._kinds[kind_of(value)] += 1
        if isinstance(value, list):
            self._items.update(kind_of(item) for item in value if item is not None)

    @property
    def types(self) -> ColumnTypes:
        return ColumnTypes(_by_count(self._kinds), _by_count(self._items))


def _by_count(kinds: Counter[Kind]) -> tuple[Kind, ...]:
    return tuple(kind for kind, _ in kinds.most_common())


def kind_of(value: Any) -> Kind:
    """The kind of a BSON value that is not null."""
    if isinstance(value, Binary | bytes):
        is_uuid = isinstance(value, Binary) and value.subtype in ALL_UUID_SUBTYPES and len(value) == 16
        return Kind.UUID if is_uuid else Kind.BINARY
    return _KINDS.get(value.__class__) or next((k for t, k in _KINDS.items() if isinstance(value, t)), Kind.OTHER)


_KINDS: dict[type, Kind] = {
    Code: Kind.OTHER,  # before str, which is its base class
    str: Kind.TEXT,
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.DOUBLE,
    Decimal128: Kind.DECIMAL,
    datetime: Kind.DATE,
    DatetimeMS: Kind.DATE,
    ObjectId: Kind.OBJECT_ID,
    list: Kind.LIST,
    dict: Kind.OBJECT,
}
