"""Reads a table before anything is loaded: the types of its columns, and whether its formulas are escaped.

Errors that make the whole file unreadable are found before anything is changed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from loader.files.table import Rows
from loader.values.cells import unquoted
from loader.values.json_values import NUMBER
from loader.values.kinds import ColumnTypes, Kind
from loader.values.readers import spelled
from loader.values.spelling import ColumnSpelling, IdSpelling
from services.exporter.catalogue.columns import is_at_or_below
from services.exporter.transcode.values import FORMULA_STARTS, parts

ID_NAMES = ("id", "_id")


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known about the columns of a file.

    Attributes:
        inferred: types of the requested columns, by name as in the header.
        ids: types of the products' ids: `_id` if a row has one, else `id`.
        escaped: `'` before a formula is a quote of `escape_formulas`: no cell begins with a formula without it.
        first_lines: by name, the line of the first non-empty cell; `inf` if there is none.
    """

    inferred: Mapping[str, ColumnTypes]
    ids: ColumnTypes
    escaped: bool
    first_lines: Mapping[str, float]

    def brought(self) -> dict[int, list[str]]:
        """By line: the columns that must come first in this row, so that a new catalogue exports them in file order.

        Columns are exported in first-seen order, so a column must be seen no later than the one to its right, as null
        if its cell is empty. If one product cannot have both in this order, the first product gets it: `_id` always
        comes first, and no product has both a value and fields below it.
        """
        found: dict[int, list[str]] = {}
        seen = [line for line in self.first_lines.values() if line < inf]
        needed: float = max(seen, default=inf)
        right: list[str] = []
        for name, first in reversed([*self.first_lines.items()]):
            needed = min(needed, first)
            is_late_parent = needed < first and any(is_at_or_below(other, name) for other in right)
            if parts(name)[0] == "_id" or (is_late_parent and first == inf):
                needed = min(seen, default=inf)
            # A parent is exported before the fields below it, wherever it is seen first.
            if needed < inf and not (is_late_parent and first < inf):
                found.setdefault(int(needed), []).insert(0, name)
            right.append(name)
        return found


def survey(rows: Rows, known: Collection[str], progress: Callable[[], None]) -> Survey:
    """Read all rows.

    Args:
        known: names of columns whose types are known.
        progress: called after every row.

    Raises:
        BadFile: a quote is never closed.
    """
    wanted = {name: ColumnSpelling() for name in rows.header if name not in known}
    ids, id_places = IdSpelling(), [rows.header.index(name) for name in ("_id", "id") if name in rows.header]
    first_lines = dict.fromkeys(rows.header, inf)
    quotes = _Quotes(rows.header)
    for row in rows:
        progress()
        if row.problem:
            continue
        id_place = next((place for place in id_places if row.cells[place]), None)
        for place, (name, cell) in enumerate(zip(rows.header, row.cells, strict=True)):
            if not cell:
                continue
            if row.line < first_lines[name]:
                first_lines[name] = row.line
            quotes.add(cell)
            if place == id_place:
                ids.add(cell)
            elif name in wanted:
                wanted[name].add(cell)
    inferred = {name: spelling.types for name, spelling in wanted.items()}
    if "sku" in inferred:  # an article number is text, even if it only has digits
        inferred["sku"] = ColumnTypes((Kind.TEXT,), inferred=True)
    return Survey(inferred, ids.types, rows.may_be_escaped and quotes.are_escapes, first_lines)


class _Quotes:
    """Detects whether the file was written with `escape_formulas`: then every formula has a quote."""

    def __init__(self, names: Iterable[str]) -> None:
        self._quoted = self._bare = False
        for name in names:
            self.add(name)

    def add(self, cell: str) -> None:
        if cell[:1] == "'":
            self._quoted |= unquoted(cell) is not cell
        elif not self._bare and cell.startswith(FORMULA_STARTS):
            self._bare = not NUMBER.fullmatch(cell) and spelled(cell) is Kind.TEXT

    @property
    def are_escapes(self) -> bool:
        return self._quoted and not self._bare
