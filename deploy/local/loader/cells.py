"""What a cell of a CSV file means: nothing new when it still says what was exported, else a value of its column's type.

A changed cell keeps the type its product has there; a new one gets a type the column has in the catalogue; a column the
catalogue does not have gets the type all its cells in the file fit.
"""

import base64
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from re import ASCII, compile
from typing import Any

from bson import Binary, Decimal128, ObjectId
from bson.binary import ALL_UUID_SUBTYPES, UUID_SUBTYPE
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidId

from deploy.local.loader.json_values import date, exact, fraction, integer, parsed
from deploy.local.loader.records import BadRecord
from services.exporter.values import text

_FORMULA_STARTS = tuple("=+-@\t\r")


def says(cell: str, value: Any) -> bool:
    """Whether the cell is what an export writes for the value.

    Also with the quote of `escape_formulas`, and with the line breaks a spreadsheet makes of others.
    """
    shown = text(value)
    if cell == shown or (cell[:1] == "'" and cell[1:] == shown and shown.startswith(_FORMULA_STARTS)):
        return True
    return "\n" in cell and _one_break(cell) == _one_break(shown)


def _one_break(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n")


def changed(cell: str, value: Any, types: Callable[[], ColumnTypes]) -> Any:
    """The new value of a cell that does not say `value` any more; equal to `value` when only its spelling changed.

    Raises:
        BadRecord: the cell fits neither the value's type nor another one of the column.
    """
    if value is None:
        return new(cell, types())
    if text(value).startswith(_FORMULA_STARTS) and cell[:1] == "'" and cell[1:].startswith(_FORMULA_STARTS):
        cell = cell[1:]
    own = kind_of(value)
    items = tuple({kind_of(item): None for item in value if item is not None}) if isinstance(value, list) else ()
    try:
        return _same_or_new(value, _read(cell, own, items or (types().items if own is Kind.LIST else ()), value))
    except ValueError:
        return new(cell, types(), own)


def _same_or_new(old: Any, value: Any) -> Any:
    """The old value when both are the same number or the same instant: a spreadsheet writes 12.10 as 12.1."""
    if isinstance(old, Decimal128) and isinstance(value, Decimal128):
        return old if old.to_decimal() == value.to_decimal() else value
    return old if old.__class__ is not bool and old.__class__ is value.__class__ and old == value else value


def new(cell: str, types: ColumnTypes, own: Kind | None = None) -> Any:
    """The value of a cell that has no value yet, by the types of its column; text for a column without any.

    Raises:
        BadRecord: the cell fits none of them.
    """
    numbers = [kind for kind in types.kinds if kind in NUMBERS]
    for kind in types.kinds or (Kind.TEXT,):
        try:
            value = (
                _number_of(cell, numbers) if len(numbers) > 1 and kind in NUMBERS else _read(cell, kind, types.items)
            )
        except ValueError:
            continue
        if Kind.TEXT not in types.kinds or text(value) == cell:
            return _structured(cell, value) if types.inferred else value
    expected = " or ".join(dict.fromkeys(kind.value.rstrip(", ") for kind in (types.kinds or (own or Kind.OTHER,))))
    raise BadRecord(f"{cell[:60]!r} is not {expected}{_hint(cell, types)}")


def _hint(cell: str, types: ColumnTypes) -> str:
    comma = cell.replace(",", ".", 1)
    if "," in cell and set(types.kinds) & set(NUMBERS) and _NUMBER.fullmatch(comma):
        return f"; write {comma}"
    return "; write 2026-03-15T09:00:00Z" if Kind.DATE in types.kinds else ""


def _structured(cell: str, value: Any) -> Any:
    """A list or an empty object when the text is the JSON an export writes for one."""
    if value.__class__ is not str or not cell.startswith(("[", "{")):
        return value
    try:
        found = parsed(cell)
        return found if isinstance(found, list | dict) and text(found) == cell else value
    except ValueError:
        return value


def _number_of(cell: str, kinds: Iterable[Kind]) -> Any:
    """A number in a column of several kinds: the kind its spelling has in exports, if the column has that."""
    for kind in (spelled(cell), *(kind for kind in NUMBERS if kind in kinds)):
        if kind in kinds:
            try:
                return _read(cell, kind, ())
            except ValueError:
                continue
    raise ValueError(cell)


def _list(cell: str, items: tuple[Kind, ...]) -> list[Any]:
    if cell.startswith("["):
        try:
            found = parsed(cell)
            if isinstance(found, list) and text(found).startswith("["):
                return found
        except ValueError:
            pass  # then it is the first item that begins with a bracket
    types = ColumnTypes(items or (Kind.TEXT,))
    return [new(piece, types) if piece or Kind.TEXT in types.kinds else None for piece in cell.split("|")]


