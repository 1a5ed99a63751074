"""Reads a CSV file once before anything is loaded: its columns' types, and whether its formulas are escaped.

Finds what makes the file unreadable as a whole while nothing has been changed yet.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from loader.files.csv_records import CsvRows
from loader.values.cells import unquoted
from loader.values.kinds import ColumnTypes, Kind
from loader.values.readers import NUMBER, spelled
from loader.values.spelling import ColumnSpelling, IdSpelling
from services.exporter.catalogue.columns import is_at_or_below
from services.exporter.transcode.values import FORMULA_STARTS, parts

ID_NAMES = ("id", "_id")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file says about its columns.

    Attributes:
        inferred: types by name as in the header, of the columns that were asked for.
        ids: types of what names the products: `_id` where a row has one, else `id`.
        escaped: `'` before a formula is a quote of `escape_formulas`: no cell begins with a formula without one.
        first_lines: by name, the line of the first cell that is not empty; `inf` where there is none.
    """

    inferred: Mapping[str, ColumnTypes]
    ids: ColumnTypes
    escaped: bool
    first_lines: Mapping[str, float]

    def brought(self) -> dict[int, list[str]]:
        """The columns that have to be seen first in the row of a line, for a new catalogue to show them in this order.

        Columns are shown in first-seen order: a column must be seen no later than the one right of it, as null if its
        cell is empty there. Where one product cannot have both in this order, the first one has it: `_id` is always at
        the front, and a value is in no product that has fields below it.
        """
        found: dict[int, list[str]] = {}
        seen = [line for line in self.first_lines.values() if line < inf]
        needed: float = max(seen, default=inf)
        right: list[str] = []
        for name, first in reversed([*self.first_lines.items()]):
            needed = min(needed, first)
            if parts(name)[0] == "_id" or (needed < first and any(is_at_or_below(other, name) for other in right)):
                needed = min(seen, default=inf)
            if needed < inf:
                found.setdefault(int(needed), []).insert(0, name)
            right.append(name)
        return found


def survey(rows: CsvRows, known: Collection[str], progress: Callable[[], None]) -> Survey:
    """Read all rows.

    Args:
        known: names of columns whose types need not be inferred.
        progress: called after every row.

    Raises:
        BadFile: a quote never ends.
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
            quotes.look(cell)
            if place == id_place:
                ids.add(cell)
            elif name in wanted:
                wanted[name].add(cell)
    inferred = {name: spelling.types for name, spelling in wanted.items()}
    if "sku" in inferred:  # an article number is a name, also where it has digits only
        inferred["sku"] = ColumnTypes((Kind.TEXT,), inferred=True)
    return Survey(inferred, ids.types, quotes.are_escapes, first_lines)


class _Quotes:
    """Tells whether the file was written with `escape_formulas`: then every formula has a quote."""

    def __init__(self, names: Iterable[str]) -> None:
        self._quoted = self._bare = False
        for name in names:
            self.look(name)

    def look(self, cell: str) -> None:
        if cell[:1] == "'":
            self._quoted |= unquoted(cell) is not cell
        elif not self._bare and cell.startswith(FORMULA_STARTS):
            self._bare = not NUMBER.fullmatch(cell) and spelled(cell) is Kind.TEXT

    @property
    def are_escapes(self) -> bool:
        return self._quoted and not self._bare
