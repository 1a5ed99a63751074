"""Infers the type of a column that the catalogue does not have from all its cells in the file.

An export of the inferred values must show the same cells again; that is more important than the most likely type.
"""

from decimal import Decimal
from typing import Any

from loader.values.cells import unquoted
from loader.values.json_values import parsed
from loader.values.kinds import NUMBERS, ColumnTypes, Kind
from loader.values.readers import OBJECT_ID, respelled, spelled
from services.exporter.transcode.values import text

MAX_ITEM = 255
"""Characters of a list item; a cell with a longer one is text, even if it contains `|`."""

_BSON_ORDER = {**dict.fromkeys(NUMBERS, 1), Kind.TEXT: 2, Kind.OBJECT_ID: 3, Kind.BOOL: 4, Kind.DATE: 5}


class ColumnSpelling:
    """The spelling that the cells of one column have in common."""

    def __init__(self) -> None:
        self._kinds: set[Kind] = set()
        self._items: set[Kind] = set()
        self._is_joined = False
        self._may_be_list = True

    def add(self, cell: str) -> None:
        """Take a non-empty cell into account."""
        kind = _kind(cell)
        self._kinds.add(kind)
        if kind is not Kind.LIST and self._may_be_list:
            pieces = unquoted(cell).split("|")
            self._may_be_list = all(map(_is_item, pieces))
            self._is_joined |= len(pieces) > 1
            self._items.update(map(spelled, pieces))

    @property
    def types(self) -> ColumnTypes:
        """One kind for all cells: numbers as spelled; lists if one cell is a list and all can be; else text."""
        if self._may_be_list and (self._is_joined or (Kind.LIST in self._kinds and self._items)):
            return ColumnTypes((Kind.LIST,), _one_kind(self._items), inferred=True)
        return ColumnTypes(_one_kind(self._kinds), inferred=True)


def _kind(cell: str) -> Kind:
    if cell == "{}":
        return Kind.OBJECT
    if not cell.startswith("["):
        return respelled(cell)
    try:
        return Kind.LIST if isinstance(found := parsed(cell), list) and text(found) == cell else Kind.TEXT
    except ValueError:
        return Kind.TEXT


def _is_item(piece: str) -> bool:
    return 0 < len(piece) <= MAX_ITEM and piece == piece.strip() and "\n" not in piece and "\r" not in piece


def _one_kind(kinds: set[Kind]) -> tuple[Kind, ...]:
    if kinds <= set(NUMBERS) or len(kinds) == 1:
        return tuple(sorted(kinds, key=lambda kind: kind.value))
    return (Kind.TEXT,)


class IdSpelling:
    """Infers the type of ids: exports are in MongoDB's order, which distinguishes numbers from text like numbers."""

    def __init__(self) -> None:
        self._kinds: set[Kind] = set()
        self._last: tuple[int, Any] | None = None
        self._last_text = ""
        self._in_order = self._in_text_order = True

    def add(self, cell: str) -> None:
        """Take a non-empty id into account."""
        kind = Kind.OBJECT_ID if OBJECT_ID.fullmatch(cell) else spelled(cell)
        is_number = kind in NUMBERS and Decimal(cell).is_finite()
        place = (_BSON_ORDER[kind], Decimal(cell) if is_number else cell)
        self._kinds.add(kind)
        self._in_order &= self._last is None or _comes_after(place, self._last)
        self._in_text_order &= self._last_text < cell
        self._last, self._last_text = place, cell

    @property
    def types(self) -> ColumnTypes:
        """Each id as spelled, if the order or the lack of other kinds confirms it; else text."""
        is_one = _one_kind(self._kinds) != (Kind.TEXT,)
        if self._in_order or (is_one and not self._in_text_order):
            return ColumnTypes(tuple(sorted(self._kinds, key=lambda kind: kind.value)), inferred=True)
        return ColumnTypes((Kind.TEXT,), inferred=True)


def _comes_after(place: tuple[int, Any], last: tuple[int, Any]) -> bool:
    """Whether MongoDB sorts the first after the second; also True for NaN and infinities, which are not compared."""
    return place > last if place[0] != last[0] or type(place[1]) is type(last[1]) else True
