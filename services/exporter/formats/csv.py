"""CSV: RFC 4180, UTF-8, with an optional byte order mark."""

import codecs
from collections.abc import Generator, Sequence
from typing import ClassVar

from services.exporter import transcode
from services.exporter.formats.compression import (
    MEDIA_TYPES,
    CompressionOptions,
    stored,
    stored_extension,
    stored_media_type,
)
from services.exporter.formats.contract import DelimitedOptions, ExportOptions, Sheet
from services.exporter.formats.template_options import TemplateOptions
from services.exporter.transcode import CsvRows, Tally


class CsvOptions(CompressionOptions, TemplateOptions, DelimitedOptions):
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
        transcoder = delimited(sheet, options, tally)
        yield file_start(transcoder, options)
        for batch in sheet.batches:
            lines = transcoder.encode(batch)
            tally.records[sheet.name] += lines.rows
            yield lines.text


def delimited(sheet: Sheet, options: DelimitedOptions, tally: Tally) -> CsvRows:
    """The transcoder for a sheet with these options."""
    tally.records[sheet.name] = 0
    return transcode.transcoders().csv_rows(
        sheet.name,
        sheet.columns,
        sheet.selection,
        tally,
        delimiter=options.delimiter,
        escape_formulas=bool(options.escape_formulas),
    )


def file_start(transcoder: CsvRows, options: DelimitedOptions) -> bytes:
    """The first bytes of every CSV file: the byte order mark, if requested, and the header."""
    return (codecs.BOM_UTF8 if options.utf8_bom else b"") + transcoder.header()


FORMAT = Csv()
