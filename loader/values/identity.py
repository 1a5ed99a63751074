"""Identifies the product of a record: the values of `_id` or `sku` whose exported form is that of the record."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bson import Binary, ObjectId

from loader.values.json_values import date, exact
from loader.values.kinds import NUMBERS, Kind
from loader.values.readers import OBJECT_ID, read, spelled

Show = Callable[[Any], str]
"""How the file's format writes a value: `text` or `json_text`."""


@dataclass(frozen=True, slots=True)
class Key:
    """How a record identifies its product.

    Attributes:
        shown: the key as the file's format writes it.
        candidates: the values that are written like this, for the lookup.
    """

    shown: str
    candidates: tuple[Any, ...]


def shown_as(value: Any, show: Show) -> set[str]:
    """The ways a value in the catalogue may be written; spreadsheets write the number 7.0 as 7."""
    names = {show(value)}
    if value.__class__ is float and value.is_integer():
        names.add(str(int(value)))
    return names


def key_of(value: Any, show: Show) -> Key:
    """The key of a JSON value; ids of types that JSON does not have are text."""
    return Key(show(value), (value, *_ids(value)) if value.__class__ is str else (value,))


def key_of_cell(cell: str) -> Key:
    """The key of a cell, which may be of several types."""
    kind = spelled(cell)
    typed = [] if kind is Kind.TEXT else [read(cell, kind)]
    if kind in NUMBERS and kind is not Kind.INT:
        typed.append(exact(cell))
    return Key(cell, (cell, *typed, *_ids(cell)))


def _ids(text: str) -> list[Any]:
    if OBJECT_ID.fullmatch(text):
        return [ObjectId(text)]
    try:
        data = uuid.UUID(text).bytes if len(text) == 36 else b""
    except ValueError:
        data = b""
    at = date(text)
    return [*([Binary(data, 4), Binary(data, 3)] if data else []), *([at] if at is not None else [])]


def id_value(value: Any) -> Any:
    """The `_id` of a new product: text that looks like an ObjectId becomes one."""
    return ObjectId(value) if value.__class__ is str and OBJECT_ID.fullmatch(value) else value
