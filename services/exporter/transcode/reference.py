"""The transcoders in Python: they define the result, and are used where the compiled ones were not built."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode import elements, sheet_xml
from services.exporter.transcode.cell_rules import CellWriter
from services.exporter.transcode.field_selector import FieldSelector
from services.exporter.transcode.names import Names
from services.exporter.transcode.tally import Tally
from services.exporter.transcode.values import FORMULA_STARTS, NUMBERS_AND_DATES, TEXT, documents, json_text, top_level


class Encoded(NamedTuple):
    """A batch as written to the file."""

    text: bytes
    rows: int


class Discovery:
    """Finds the leaves of documents.

    Args:
        seen: receives the selected names in first-seen order; False: only empty objects were found there.
    """

    def __init__(self, selection: Selection, seen: dict[str, bool]) -> None:
        self._names = Names("", None, selection, seen)

    def note(self, batch: bytes) -> None:
        """Add the names of the batch's leaves."""
        for document in documents(batch):
            self._names.note(document, self._names.root(document))


def discover(batch: bytes, selection: Selection, seen: dict[str, bool]) -> None:
    """Add the selected names of one batch's leaves to `seen`, as `Discovery` does."""
    Discovery(selection, seen).note(batch)


class Rows:
    """The cells of documents.

    Args:
        sheet: name under which names are collected in `tally`.
        columns: the complete header.
    """

    def __init__(self, sheet: str, columns: Sequence[str], selection: Selection, tally: Tally) -> None:
        self.columns = columns
        output = selection.output
        fields = columns if output is None else output.sources
        self.names = Names(sheet, fields, selection, tally.seen.setdefault(sheet, {}))
        self.width = len(fields)
        self._writer = None if output is None else CellWriter(output, tally.findings)

    def of(self, batch: bytes) -> Iterator[list[Any]]:
        """The rows of a batch: a cell for each column, None where there is no value.

        Raises:
            UnforeseenColumn: a document has a leaf that is not in the header.
            MissingCell: a cell that must have a value has none.
            InvalidBSON: the batch is damaged.
        """
        for document in documents(batch):
            fields: list[Any] = [None] * self.width
            self.names.fill(fields, document, self.names.root(document))
            row = fields if self._writer is None else self._writer.cells(fields, document)
            if row is not None:
                yield row

    def objects_of(self, batch: bytes, members: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows of a batch as objects with these members, one for each column; raises what `of` raises."""
        return (dict(zip(members, row, strict=True)) for row in self.of(batch))


class CsvRows:
    """Lines of RFC 4180.

    Args:
        sheet: name under which rows and names are counted in `tally`.
        columns: the complete header.
        escape_formulas: put `'` before text that a spreadsheet would take for a formula.
    """

    def __init__(
        self,
        sheet: str,
        columns: Sequence[str],
        selection: Selection,
        tally: Tally,
        *,
        delimiter: str,
        escape_formulas: bool,
    ) -> None:
        self._columns = columns
        self._rows = Rows(sheet, columns, selection, tally)
        self._delimiter = delimiter
        self._escape = escape_formulas

    def header(self) -> bytes:
        """The line with the column names."""
        return self._lines([[escaped(name) if self._escape else name for name in self._columns]])

    def line(self, cells: Sequence[str]) -> bytes:
        """A line with these cells."""
        return self._lines([cells])

    def encode(self, batch: bytes) -> Encoded:
        """The lines of a batch, one per document that is not skipped; raises what `Rows.of` raises."""
        text = _cell if self._escape else _text
        rows = [[text(value) for value in row] for row in self._rows.of(batch)]
        return Encoded(self._lines(rows), len(rows))

    def _lines(self, rows: Sequence[Sequence[str]]) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=self._delimiter, lineterminator="\r\n").writerows(rows)
        return out.getvalue().encode()


def escaped(text: str) -> str:
    """Text with `'` before it, if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _text(value: Any) -> str:
    return TEXT[value.__class__](value)


def _cell(value: Any) -> str:
    text = TEXT[value.__class__](value)
    return text if value.__class__ in NUMBERS_AND_DATES else escaped(text)


class JsonObjects:
    """Documents as JSON objects; nesting is kept.

    Args:
        newline: None for compact objects; else a line break followed by the indentation of the objects.
        ending: written after each object.
        quote_decimals: Decimal128 values are strings.
    """

    def __init__(
        self,
        sheet: str,
        selection: Selection,
        tally: Tally,
        *,
        newline: str | None,
        ending: str,
        quote_decimals: bool = False,
    ) -> None:
        self._select = FieldSelector(selection)
        self._names = (
            Names(sheet, None, selection, tally.seen.setdefault(sheet, {})) if selection.include is not None else None
        )
        self._newline = newline
        self._ending = ending
        self._quote_decimals = quote_decimals

    def encode(self, batch: bytes) -> Encoded:
        """The objects of a batch.

        Raises:
            InvalidBSON: the batch is damaged.
        """
        texts = []
        for document in documents(batch):
            if self._names is not None:
                self._names.note(document, self._names.root(document))
            selected = self._select(dict(top_level(document)))
            texts.append(json_text(selected, self._newline, quote_decimals=self._quote_decimals) + self._ending)
        return Encoded("".join(texts).encode(), len(texts))


class FlatObjects:
    """The columns of a request as JSON objects: one member for each, null where there is no value.

    Args:
        newline, ending, quote_decimals: as in `JsonObjects`.
    """

    def __init__(
        self,
        sheet: str,
        selection: Selection,
        tally: Tally,
        *,
        newline: str | None,
        ending: str,
        quote_decimals: bool = False,
    ) -> None:
        self._rows = Rows(sheet, selection.header(()), selection, tally)
        self._newline = newline
        self._ending = ending
        self._quote_decimals = quote_decimals

    def encode(self, batch: bytes) -> Encoded:
        """The objects of a batch, one per document that is not skipped; raises what `Rows.of` raises."""
        texts = [
            json_text(row, self._newline, quote_decimals=self._quote_decimals) + self._ending
            for row in self._rows.objects_of(batch, self._rows.columns)
        ]
        return Encoded("".join(texts).encode(), len(texts))


class XmlElements:
    """Documents as XML elements, one per line; nesting is kept.

    Args:
        layout: the names and the style of the elements.
    """

    def __init__(self, sheet: str, selection: Selection, tally: Tally, *, layout: elements.Layout) -> None:
        self._select = FieldSelector(selection)
        self._names = (
            Names(sheet, None, selection, tally.seen.setdefault(sheet, {})) if selection.include is not None else None
        )
        self._rows = None if selection.output is None else Rows(sheet, selection.header(()), selection, tally)
        self._members = [] if self._rows is None else [layout.column_prefix + name for name in self._rows.columns]
        self._elements = elements.Elements(layout)

    def encode(self, batch: bytes) -> Encoded:
        """The elements of a batch.

        Raises:
            InvalidBSON: the batch is damaged.
        """
        if self._rows is not None:
            rows = [self._elements.row(row) for row in self._rows.objects_of(batch, self._members)]
            return Encoded("".join(rows).encode(), len(rows))
        texts = []
        for document in documents(batch):
            if self._names is not None:
                self._names.note(document, self._names.root(document))
            texts.append(self._elements.row(self._select(dict(top_level(document)))))
        return Encoded("".join(texts).encode(), len(texts))


class SheetRows:
    """Rows of a worksheet's XML.

    Args:
        first_style: index of the first of the worksheet's styles in the workbook; see `sheet_xml.styles_of`.
    """

    def __init__(
        self, sheet: str, columns: Sequence[str], selection: Selection, tally: Tally, *, first_style: int
    ) -> None:
        self._tally = tally
        self._columns = columns
        self._rows = Rows(sheet, columns, selection, tally)
        self._letters = [sheet_xml.column_letters(at) for at in range(1, len(columns) + 1)]
        self._cells = sheet_xml.Cells(first_style, len(columns))

    def header(self, style: int | None) -> bytes:
        """The row with the column names, in this style; truncated names are counted in the tally."""
        before = self._cells.cut
        attributes = "" if style is None else f' s="{style}"'
        text = self._cells.heading(self._columns, self._letters, attributes)
        self._tally.texts_cut += self._cells.cut - before
        return text.encode()

    def longest(self) -> list[int]:
        """Characters of the longest cell of each column in the batches so far, up to `sheet_xml.MAX_SHOWN`."""
        return list(self._cells.longest)

    def contents(self) -> list[int]:
        """What each column holds in the batches so far: `sheet_xml.HAS_MILLIS` and so on."""
        return list(self._cells.contents)

    def encode(self, batch: bytes, first: int) -> Encoded:
        """The rows of a batch as XML, numbered from `first`; truncated cells are counted in the tally.

        Raises what `Rows.of` raises.
        """
        rows, before = list(self._rows.of(batch)), self._cells.cut
        text = "".join(self._cells.row(row, self._letters, number) for number, row in enumerate(rows, first))
        self._tally.texts_cut += self._cells.cut - before
        return Encoded(text.encode(), len(rows))
