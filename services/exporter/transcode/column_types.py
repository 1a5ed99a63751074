"""Types of columns, for formats whose columns are typed: derived from all values of a column. Pure.

A type is a text: `bool`, `int64`, `double`, `decimal(18,2)`, `timestamp`, `text`, or `list<` one of these `>`. It can
hold each value of its column exactly; where no other can, it is `text`, with values as in CSV. docs/values.md has the
rules.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from bson import Decimal128, Int64

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode.reference import Rows
from services.exporter.transcode.tally import Tally, UnforeseenColumn

TEXT_TYPE = "text"
MAX_EXACT = 1 << 53
"""Integers up to it are exact as doubles."""
MAX_DOUBLE_DIGITS = 15
"""Significant digits of a decimal that a double always keeps."""
SHORT_PRECISION, LONG_PRECISION = 18, 38
"""Digits of a decimal type. Only these two, so that one more digit in a price rarely changes the type."""

_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_NUMBERS = {"integer", "big", "double", "decimal", "precise"}
_EXACT = {"integer", "big", "decimal", "precise"}
_DOUBLES = {"integer", "double", "decimal"}
_WHOLE_DIGITS = {"integer": 16, "big": 19}
_PLAIN: dict[type, str] = {bool: "bool", float: "double", datetime: "timestamp"}


class Needs:
    """What the values seen so far need of the type of their column."""

    __slots__ = ("_items", "_kinds", "_scale", "_whole")

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._whole = self._scale = 0
        self._items: Needs | None = None

    def note(self, values: Iterable[Any]) -> None:
        """Take values into account; None counts for nothing."""
        by_class: dict[type, list[Any]] = {}
        for value in values:
            by_class.setdefault(value.__class__, []).append(value)
        for kind, found in by_class.items():
            if kind in _PLAIN:
                self._kinds.add(_PLAIN[kind])
            elif kind is int or kind is Int64:
                is_big = min(found) < -MAX_EXACT or max(found) > MAX_EXACT
                self._kinds.add("big" if is_big else "integer")
            elif kind is Decimal128:
                self._note_decimals(found)
            elif kind is list:
                self._kinds.add("list")
                self._items = self._items or Needs()
                # Lists in lists are text, as objects in lists are.
                self._items.note({} if item.__class__ is list else item for items in found for item in items)
            elif kind is not type(None):
                self._kinds.add(TEXT_TYPE)

    def _note_decimals(self, values: Sequence[Decimal128]) -> None:
        for value in values:
            _, digits, exponent = value.to_decimal().as_tuple()
            if not isinstance(exponent, int):  # NaN, Infinity
                self._kinds.add(TEXT_TYPE)
                continue
            self._whole = max(self._whole, len(digits) + exponent)
            self._scale = max(self._scale, -exponent)
            significant = len("".join(map(str, digits)).rstrip("0"))
            self._kinds.add("precise" if significant > MAX_DOUBLE_DIGITS else "decimal")

    def type(self) -> str:
        """The type that holds all of them; text if there are none."""
        kinds = self._kinds
        if len(kinds) == 1 and kinds <= {"bool", "double", "timestamp"}:
            return next(iter(kinds))
        if kinds == {"list"}:
            return f"list<{self._items.type() if self._items else TEXT_TYPE}>"
        if not kinds or not kinds <= _NUMBERS:
            return TEXT_TYPE
        if kinds <= {"integer", "big"}:
            return "int64"
        if kinds <= _EXACT:
            digits = self._whole_digits() + self._scale
            precision = SHORT_PRECISION if digits <= SHORT_PRECISION else LONG_PRECISION
            return f"decimal({precision},{self._scale})" if digits <= LONG_PRECISION else TEXT_TYPE
        return "double" if kinds <= _DOUBLES else TEXT_TYPE

    def fit(self, column: str) -> bool:
        """Whether a column of this type holds all of them."""
        kinds = self._kinds
        if column == TEXT_TYPE or not kinds:
            return True
        if column.startswith("list<"):
            return kinds == {"list"} and (self._items is None or self._items.fit(item_type(column)))
        if found := _DECIMAL.fullmatch(column):
            precision, scale = int(found[1]), int(found[2])
            return kinds <= _EXACT and self._scale <= scale and self._whole_digits() <= precision - scale
        if column == "int64":
            return kinds <= {"integer", "big"}
        return kinds <= (_DOUBLES if column == "double" else {column})

    def _whole_digits(self) -> int:
        return max([self._whole, *(digits for kind, digits in _WHOLE_DIGITS.items() if kind in self._kinds)])


def item_type(column: str) -> str:
    """The type of the items of a list type."""
    return column.removeprefix("list<").removesuffix(">")


def decimal_size(column: str) -> tuple[int, int] | None:
    """Precision and scale of a decimal type; None for another type."""
    found = _DECIMAL.fullmatch(column)
    return (int(found[1]), int(found[2])) if found else None


class TypedColumns:
    """The values of documents by column.

    Args:
        sheet: name under which names are counted in `tally`.
        columns: the complete header.
        needs: of each column, to go on with; None: of new ones.
    """

    def __init__(
        self,
        sheet: str,
        columns: Sequence[str],
        selection: Selection,
        tally: Tally,
        needs: Sequence[Needs] | None = None,
    ) -> None:
        self._sheet = sheet
        self._columns = columns
        self._rows = Rows(sheet, columns, selection, tally)
        self._needs = [Needs() for _ in columns] if needs is None else needs

    def values(self, batch: bytes) -> tuple[list[Sequence[Any]], int]:
        """The values of a batch, a sequence for each column, and the number of rows; None: null or missing.

        Raises what `Rows.of` raises.
        """
        rows = list(self._rows.of(batch))
        found: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(self._columns)
        for needs, values in zip(self._needs, found, strict=True):
            needs.note(values)
        return found, len(rows)

    def check(self, types: Sequence[str]) -> None:
        """Check that all values so far fit the columns' types.

        Raises:
            UnforeseenColumn: of the first column whose type is too narrow.
        """
        for name, needs, column in zip(self._columns, self._needs, types, strict=True):
            if not needs.fit(column):
                raise UnforeseenColumn(self._sheet, name)

    def types(self) -> dict[str, str]:
        """The types that the values so far need."""
        return {name: needs.type() for name, needs in zip(self._columns, self._needs, strict=True)}
