"""CSV: RFC 4180, UTF-8, with an optional byte order mark."""

import codecs
from collections.abc import Generator, Iterator, Sequence
from typing import ClassVar

from services.exporter import transcode
from services.exporter.catalogue.columns import Selection
from services.exporter.formats.compression import (
    MEDIA_TYPES,
    CompressionOptions,
    stored,
    stored_extension,
    stored_media_type,
)
from services.exporter.formats.contract import DelimitedOptions, ExportOptions, Sheet
from services.exporter.formats.row_changes import Rows, TrackedRows, key_places
from services.exporter.formats.template_options import TemplateOptions
from services.exporter.manifests.options import CHANGE_COLUMN, ChangeOptions
from services.exporter.transcode import CsvRows, Encoded, Tally
from services.exporter.transcode.reference import escaped
from services.exporter.transcode.row_hashes import KeyCell


class CsvOptions(CompressionOptions, ChangeOptions, TemplateOptions, DelimitedOptions):
    """Those of every CSV file; it may be compressed, and made for a feed template."""

    template_format = "csv"


class Csv:
    """The products as one CSV file."""

    name: ClassVar[str] = "csv"
    flat: ClassVar[bool] = True
    media_types: ClassVar[Sequence[str]] = ("text/csv; charset=utf-8; header=present", *MEDIA_TYPES.values())
    Options: ClassVar[type[ExportOptions]] = CsvOptions

    def extension(self, options: CsvOptions) -> str:
        """`.csv`, and the suffix of its compression."""
        return stored_extension(".csv", options)

    def media_type(self, options: CsvOptions) -> str:
        """RFC 7111, or that of its compression."""
        return stored_media_type(self.media_types[0], options)

    def sheets(self, options: CsvOptions) -> Sequence[str]:  # noqa: ARG002
        """A CSV file holds one table."""
        return ["products"]

    def encode(self, sheets: Sequence[Sheet], options: CsvOptions, tally: Tally) -> Generator[bytes, None, None]:
        """The header, then one chunk of lines per batch; compressed if requested."""
        return stored(_content(sheets, options, tally), options)


def _content(sheets: Sequence[Sheet], options: CsvOptions, tally: Tally) -> Generator[bytes, None, None]:
    for sheet in sheets:
        lines = Delimited(sheet, options, tally)
        yield file_start(lines, options)
        for batch in sheet.batches:
            written = lines.encode(batch)
            tally.records[sheet.name] += written.rows
            yield written.text
        for written in lines.deletions():
            tally.records[sheet.name] += written.rows
            yield written.text


class Delimited:
    """The lines of a sheet with these options."""

    def __init__(self, sheet: Sheet, options: DelimitedOptions, tally: Tally) -> None:
        tally.records[sheet.name] = 0
        self._tracker = sheet.tracker
        self._sheet = sheet
        self._options = options
        self._plain = self._rows(sheet.selection, tally)
        self._lines: Rows = self._plain
        if sheet.tracker is not None:
            self._lines = TrackedRows(self._rows, sheet.selection, tally, sheet.tracker, mark=self._marked)

    def header(self) -> bytes:
        """The line with the column names."""
        header = self._plain.header()
        return self._marked(header, CHANGE_COLUMN) if self._tracker and self._tracker.has_changes_only else header

    def encode(self, batch: bytes) -> Encoded:
        """The lines of a batch."""
        return self._lines.encode(batch)

    def deletions(self) -> Iterator[Encoded]:
        """Once all batches are encoded, the lines of the deleted rows, if they belong among the others."""
        if self._tracker is not None and self._tracker.has_changes_only and self._tracker.deletions == "column":
            places = key_places(self._sheet.columns, self._sheet.selection, self._tracker.key)
            line = [""] * len(self._sheet.columns)
            for cells in self._tracker.deleted():
                for place, cell in zip(places, cells, strict=True):
                    line[place] = self._shown(cell)
                yield Encoded(self._marked(self._plain.line(line), "deleted"), 1)

    def deletion_file(self) -> Iterator[bytes]:
        """The keys of the deleted rows as a CSV file of its own."""
        if self._tracker is not None:
            names = [
                self._sheet.columns[at]
                for at in key_places(self._sheet.columns, self._sheet.selection, self._tracker.key)
            ]
            yield (codecs.BOM_UTF8 if self._options.utf8_bom else b"") + self._plain.line(names)
            for cells in self._tracker.deleted():
                yield self._plain.line([self._shown(cell) for cell in cells])

    def _rows(self, selection: Selection, tally: Tally) -> CsvRows:
        columns = self._sheet.columns
        if selection is not self._sheet.selection:
            accepted = [name for name in columns if selection.accepts(name)]
            columns = accepted if selection.output is None else selection.output.headers
        return transcode.transcoders().csv_rows(
            self._sheet.name,
            columns,
            selection,
            tally,
            delimiter=self._options.delimiter,
            escape_formulas=bool(self._options.escape_formulas),
        )

    def _marked(self, line: bytes, what: str) -> bytes:
        return f"{what}{self._options.delimiter}".encode() + line

    def _shown(self, cell: KeyCell) -> str:
        return escaped(cell.text) if self._options.escape_formulas and not cell.is_number else cell.text


def file_start(lines: Delimited, options: DelimitedOptions) -> bytes:
    """The first bytes of every CSV file: the byte order mark, if requested, and the header."""
    return (codecs.BOM_UTF8 if options.utf8_bom else b"") + lines.header()


FORMAT = Csv()
