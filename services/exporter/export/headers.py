"""What stands before the rows of a sheet, complete before the first of them: columns, and their widths where shown.

Foreseen from what this request found last time, or found in a pass of its own; the rows tell whether it fits.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.exporter.catalogue.columns import merged_order
from services.exporter.export.pipeline import Ahead
from services.exporter.export.plan import Plan
from services.exporter.export.widths import Survey, width
from services.exporter.formats.contract import Tally, TooManyColumns
from services.exporter.transcode import transcoders


@dataclass(frozen=True, slots=True)
class Header:
    """Of one sheet."""

    columns: tuple[str, ...] = ()
    """Empty for a format that is not flat."""
    widths: Mapping[str, int] = field(default_factory=dict)
    """By column, in characters; empty where the file shows none."""


class Headers:
    """Of all sheets of one attempt.

    Args:
        batches: opens a pass over a sheet's documents.
    """

    def __init__(self, plan: Plan, batches: Callable[[str], Ahead]) -> None:
        self._plan = plan
        self._batches = batches

    def foreseen(self, sheet: str) -> Header:
        """The header as it was last time, or as a pass finds it."""
        if not self._plan.format.flat:
            return Header()
        memory, measured = self._plan.memory[sheet], self._plan.options.shows_widths
        if memory.last is None or (measured and not memory.widths):
            return self.found(sheet)
        columns = self._columns(sheet, memory.last)
        return Header(columns, {n: memory.widths.get(n, width(len(n))) for n in columns} if measured else {})

    def found(self, sheet: str) -> Header:
        """The header that the documents need.

        Raises:
            TooManyColumns: there are more than the plan allows.
        """
        seen: dict[str, None] = {}
        selection = self._plan.selection(sheet)
        survey = Survey(selection, seen) if self._plan.options.shows_widths else None
        discovery = survey or transcoders().discovery(selection, seen)
        with self._batches(sheet) as batches:
            for batch in batches:
                discovery.note(batch)
                if len(seen) > self._plan.max_columns:
                    raise TooManyColumns(len(seen), self._plan.max_columns)
        return Header(self._columns(sheet, seen), survey.widths if survey else {})

    def met(self, sheet: str, tally: Tally) -> Header:
        """The header that would have fitted the rows that were written."""
        return Header(self._columns(sheet, tally.seen.get(sheet, ())), tally.widths.get(sheet, {}))

    def ordered(self, sheet: str, seen: Iterable[str]) -> tuple[str, ...]:
        """Names in the order of earlier exports: of whole ones first, then of this very request."""
        memory = self._plan.memory[sheet]
        return merged_order((*memory.order, *(memory.last or ())), seen)

    def _columns(self, sheet: str, seen: Iterable[str]) -> tuple[str, ...]:
        return self._plan.selection(sheet).header(self.ordered(sheet, seen)) or ("id",)
