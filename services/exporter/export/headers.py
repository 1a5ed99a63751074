"""What is written before the rows of a sheet: its columns and, in formats that show them, their widths or types.

A header must be complete before the first row. It is predicted from what the same request found last time. Without an
earlier export, columns are predicted from the first documents; widths depend on all documents, so these are read once
more. While the rows are written, it turns out whether the prediction was right.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.exporter.catalogue.columns import Selection, merged_order, with_columns
from services.exporter.export.plan import Plan
from services.exporter.export.sheet_reader import SheetReader
from services.exporter.formats.contract import TooManyColumns
from services.exporter.prefetch import Prefetch
from services.exporter.transcode import Tally, transcoders
from services.exporter.transcode.column_types import TEXT_TYPE, Needs, TypedColumns
from services.exporter.transcode.sheet_xml import column_width, column_widths


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one sheet."""

    columns: tuple[str, ...] = ()
    """Empty for a format that is not flat."""
    widths: Mapping[str, int] = field(default_factory=dict)
    """By column, in characters; empty for formats without widths."""
    types: Mapping[str, str] = field(default_factory=dict)
    """By column; empty for formats without types."""


class Headers:
    """The headers of all sheets of one attempt.

    Args:
        batches: starts reading a sheet's documents.
    """

    def __init__(self, plan: Plan, batches: Callable[[str], Prefetch]) -> None:
        self._plan = plan
        self._batches = batches

    def predict(self, sheet: str, reader: SheetReader | None) -> Header:
        """The header of the last export of this request; without one, that of a sample, or as `determine`.

        Args:
            reader: of the sheet, if a sample may be taken.
        """
        if not self._plan.format.flat:
            return Header()
        remembered, with_widths = self._plan.remembered[sheet], self._plan.options.shows_widths
        with_types = self._plan.options.shows_types
        output = self._plan.selection(sheet).output
        if output is not None and not with_widths and not with_types:
            return Header(output.headers)
        if with_widths and not remembered.widths:
            return self.determine(sheet)
        if remembered.last is None or (with_types and not remembered.types):
            return self.determine(sheet) if reader is None else self._guess(sheet, reader.sample())
        columns = self._columns(sheet, dict.fromkeys(remembered.last, True))
        widths = {name: remembered.widths.get(name, column_width(len(name))) for name in columns}
        types = {name: remembered.types.get(name, TEXT_TYPE) for name in columns}
        return Header(columns, widths if with_widths else {}, types if with_types else {})

    def determine(self, sheet: str) -> Header:
        """The header that the documents need; reads all of them.

        Raises:
            TooManyColumns: there are more than the plan allows.
        """
        with self._batches(sheet) as batches:
            return self._discover(sheet, {}, batches)

    def complete(self, sheet: str, tally: Tally, reader: SheetReader) -> Header:
        """As `determine`, after a document had an unforeseen column: reads on where the format stopped.

        Widths and types of the rows before it are not known, so with these it starts again.
        """
        if self._plan.options.shows_widths or self._plan.options.shows_types:
            return self.determine(sheet)
        return self._discover(sheet, dict(tally.seen[sheet]), reader.unwritten())

    def needed(self, sheet: str, tally: Tally) -> Header:
        """The header that fits the rows which were written."""
        columns = self._columns(sheet, tally.seen.get(sheet, {}))
        return Header(columns, tally.widths.get(sheet, {}), tally.types.get(sheet, {}))

    def ordered(self, sheet: str, seen: Iterable[str]) -> tuple[str, ...]:
        """Names in the order of earlier exports: of the whole catalogue first, then of the same request."""
        remembered = self._plan.remembered[sheet]
        return merged_order((*remembered.order, *(remembered.last or ())), seen)

    def found(self, sheet: str, seen: Mapping[str, bool]) -> tuple[str, ...]:
        """Those of the ordered names that have a column; with columns of the request, these."""
        if (output := self._plan.selection(sheet).output) is not None:
            return output.headers
        shown = with_columns(seen)
        return tuple(name for name in self.ordered(sheet, seen) if name in shown)

    def _guess(self, sheet: str, sample: Sequence[bytes]) -> Header:
        """The columns of the sample, and those that earlier exports found in all documents."""
        remembered = self._plan.remembered[sheet]
        seen: dict[str, bool] = {}
        found = self._discover(sheet, seen, sample)
        known = remembered.last or remembered.whole
        if not known:
            return found
        columns = self._columns(sheet, seen | dict.fromkeys(known, True))
        types = {name: found.types.get(name, TEXT_TYPE) for name in columns} if found.types else {}
        return Header(columns, types=types) if len(columns) <= self._plan.max_columns else found

    def _discover(self, sheet: str, seen: dict[str, bool], batches: Iterable[bytes]) -> Header:
        """The header that these documents need, and those in which `seen` was found."""
        selection = self._plan.selection(sheet)
        widths = WidthProbe(selection, seen) if self._plan.options.shows_widths else None
        types = TypeProbe(selection, seen) if self._plan.options.shows_types else None
        discovery = widths or types or transcoders().discovery(selection, seen)
        for batch in batches:
            discovery.note(batch)
            if len(seen) > self._plan.max_columns and (count := len(with_columns(seen))) > self._plan.max_columns:
                raise TooManyColumns(count, self._plan.max_columns)
        columns = self._columns(sheet, seen)
        return Header(columns, widths.widths_of(columns) if widths else {}, types.types_of(columns) if types else {})

    def _columns(self, sheet: str, seen: Mapping[str, bool]) -> tuple[str, ...]:
        return self._plan.selection(sheet).header(self.found(sheet, seen)) or ("id",)


class Probe(ABC):
    """Finds the leaves of documents, like `Discovery`, and what their columns need besides a name.

    Args:
        seen: as in `Discovery`.
    """

    def __init__(self, selection: Selection, seen: dict[str, bool]) -> None:
        self._selection = selection
        self._seen = seen
        self._discovery = transcoders().discovery(selection, seen)
        self._restart(self._columns())

    def note(self, batch: bytes) -> None:
        """Take a batch into account."""
        known = (len(self._seen), sum(self._seen.values()))
        self._discovery.note(batch)
        if (len(self._seen), sum(self._seen.values())) != known:
            self._restart(self._columns())
        self._measure(batch)

    def _columns(self) -> tuple[str, ...]:
        return self._selection.header(with_columns(self._seen))

    @abstractmethod
    def _restart(self, columns: tuple[str, ...]) -> None:
        """Measure these columns from now on."""

    @abstractmethod
    def _measure(self, batch: bytes) -> None:
        """Take the cells of a batch into account, whose columns are known."""


class WidthProbe(Probe):
    """The widths of columns."""

    def __init__(self, selection: Selection, seen: dict[str, bool]) -> None:
        self._widths: dict[str, int] = {}
        super().__init__(selection, seen)

    def widths_of(self, columns: Iterable[str]) -> dict[str, int]:
        """The widths of these columns, in characters; a column that no document has is missing."""
        return {name: self._widths[name] for name in columns if name in self._widths}

    def _restart(self, columns: tuple[str, ...]) -> None:
        self._measured = columns
        self._rows = transcoders().sheet_rows("", columns, self._selection, Tally(), first_style=0)

    def _measure(self, batch: bytes) -> None:
        self._rows.encode(batch, 2)
        for name, width in column_widths(self._measured, self._rows.longest()).items():
            self._widths[name] = max(width, self._widths.get(name, 0))


class TypeProbe(Probe):
    """The types of columns."""

    def __init__(self, selection: Selection, seen: dict[str, bool]) -> None:
        self._needs: dict[str, Needs] = {}
        super().__init__(selection, seen)

    def types_of(self, columns: Iterable[str]) -> dict[str, str]:
        """The types of these columns; of one that no document has, text."""
        return {name: self._needs[name].type() if name in self._needs else TEXT_TYPE for name in columns}

    def _restart(self, columns: tuple[str, ...]) -> None:
        for name in columns:
            self._needs.setdefault(name, Needs())
        self._rows = TypedColumns("", columns, self._selection, Tally(), [self._needs[name] for name in columns])

    def _measure(self, batch: bytes) -> None:
        self._rows.values(batch)
