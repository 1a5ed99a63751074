"""Reads a cell as a value of a given type, and determines the type that a cell looks like."""

import base64
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Binary, Decimal128, ObjectId
from bson.binary import UUID_SUBTYPE
from bson.errors import InvalidId

from loader.values.json_values import NUMBER, date, exact, fraction, integer, parsed
from loader.values.kinds import Kind, kind_of
from loader.values.spreadsheets import time_of
from services.exporter.transcode.values import text

OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NO_NUMBERS = {"NaN", "Infinity", "-Infinity"}


def spelled(cell: str) -> Kind:
    """The kind of plain value that exports write exactly like this cell, or text.

    A whole number beyond int64 is text too: it is more likely to be an article number than an exact decimal.
    """
    if cell in ("true", "false"):
        return Kind.BOOL
    if cell in _NO_NUMBERS:
        return Kind.DOUBLE
    if cell.endswith("Z") and date(cell) is not None:
        return Kind.DATE
    if not NUMBER.fullmatch(cell):
        return Kind.TEXT
    try:
        value = integer(cell) if _INTEGER.fullmatch(cell) else fraction(cell)
    except ValueError:
        return Kind.TEXT
    is_long = isinstance(value, Decimal128) and _INTEGER.fullmatch(cell)
    return Kind.TEXT if is_long or text(value) != cell else kind_of(value)


def respelled(cell: str) -> Kind:
    """The kind of a cell in a new column: as `spelled`, or as spreadsheets write booleans and times."""
    kind = spelled(cell)
    if kind is Kind.TEXT and cell in ("TRUE", "FALSE"):
        return Kind.BOOL
    return Kind.DATE if kind is Kind.TEXT and time_of(cell) else kind


def read(cell: str, kind: Kind, old: Any = None) -> Any:
    """The cell as a value of this kind, except lists.

    Args:
        old: the value that is replaced; binary data keeps its subtype.

    Raises:
        ValueError: the cell is not of this kind.
    """
    match kind:
        case Kind.TEXT:
            return cell
        case Kind.UUID:
            return Binary(uuid.UUID(cell).bytes, old.subtype if isinstance(old, Binary) else UUID_SUBTYPE)
        case Kind.BINARY:
            data = base64.b64decode(cell, validate=True)
            return Binary(data, old.subtype) if isinstance(old, Binary) else data
        case _:
            return _READERS[kind](cell.strip())


def _refuse(cell: str) -> Any:
    raise ValueError(cell)


def _bool(cell: str) -> bool:
    """Spreadsheets write TRUE and FALSE, or 1 and 0 after a change of the cell's format."""
    found = {"true": True, "1": True, "false": False, "0": False}.get(cell.lower())
    return bool(_refuse(cell)) if found is None else found


def _int(cell: str) -> Any:
    if _INTEGER.fullmatch(cell):
        return integer(cell.removeprefix("+"))
    if not NUMBER.fullmatch(cell):
        _refuse(cell)
    # 9.1E+15 is how a spreadsheet shows an integer; exports write the exponent of a double with a small e.
    if "E+" in cell and abs(value := Decimal(cell)) < 2**63 and value == int(value):
        return int(value)
    return fraction(cell)


def _double(cell: str) -> Any:
    if cell in _NO_NUMBERS:
        return float(cell)
    if not NUMBER.fullmatch(cell):
        _refuse(cell)
    value = float(cell)
    return value if Decimal(repr(value)) == Decimal(cell) else exact(cell)


def _decimal(cell: str) -> Any:
    return exact(cell) if cell in _NO_NUMBERS or NUMBER.fullmatch(cell) else _refuse(cell)


def _date(cell: str) -> Any:
    found = date(cell) or time_of(cell)
    if found is not None:
        return found
    at = datetime.fromisoformat(cell)
    at = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _object_id(cell: str) -> ObjectId:
    try:
        return ObjectId(cell)
    except InvalidId as exc:
        raise ValueError(cell) from exc


def _object(cell: str) -> Any:
    found = parsed(cell)
    return found if isinstance(found, dict) else _refuse(cell)


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.BOOL: _bool,
    Kind.INT: _int,
    Kind.DOUBLE: _double,
    Kind.DECIMAL: _decimal,
    Kind.DATE: _date,
    Kind.OBJECT_ID: _object_id,
    Kind.OBJECT: _object,
    Kind.LIST: _refuse,
    Kind.OTHER: _refuse,
}
