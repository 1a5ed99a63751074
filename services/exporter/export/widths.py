"""Widths of columns, for formats that show them: wide enough for the longest cell of all rows.

They stand before the rows, so they are known from last time or found in a pass of their own, as columns are.
"""

from collections.abc import Sequence

from services.exporter.catalogue.columns import Selection
from services.exporter.formats.contract import Tally
from services.exporter.transcode import transcoders
from services.exporter.transcode.sheet_xml import MOST_SHOWN

MARGIN = 2
"""Characters of space beside a cell."""
STEPS = (8, 10, 12, 15, 20, 25, 30, 40, 50, MOST_SHOWN)
"""Steps: one name that is a letter longer should not change the widths, and cost the file another pass."""


def width(characters: int) -> int:
    """The width of a column whose longest cell has so many characters; in characters, too."""
    return next((step for step in STEPS if characters + MARGIN <= step), STEPS[-1])


def widths(columns: Sequence[str], longest: Sequence[int]) -> dict[str, int]:
    """Widths by column for their names and their longest cells."""
    return {name: width(max(len(name), cell)) for name, cell in zip(columns, longest, strict=True)}


class Survey:
    """Finds the leaves of documents, like `Discovery`, and how wide their columns have to be.

    Args:
        seen: gets the names that the selection accepts, in first-seen order.
    """

    def __init__(self, selection: Selection, seen: dict[str, None]) -> None:
        self.widths: dict[str, int] = {}
        self._selection = selection
        self._seen = seen
        self._discovery = transcoders().discovery(selection, seen)
        self._begin()

    def note(self, batch: bytes) -> None:
        """Take a batch into account."""
        known = len(self._seen)
        self._discovery.note(batch)
        if len(self._seen) > known:
            self._begin()
        self._rows.encode(batch, 2)
        for name, found in widths(self._columns, self._rows.longest()).items():
            self.widths[name] = max(found, self.widths.get(name, 0))

    def _begin(self) -> None:
        self._columns = self._selection.header(self._seen)
        self._rows = transcoders().sheet_rows("", self._columns, self._selection, Tally(), date_style=0)
