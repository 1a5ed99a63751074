"""JSON: one array, or NDJSON; keeps nesting and types."""

from collections.abc import Generator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from services.exporter import transcode
from services.exporter.formats.column_options import Flag
from services.exporter.formats.compression import (
    MEDIA_TYPES,
    CompressionOptions,
    stored,
    stored_extension,
    stored_media_type,
)
from services.exporter.formats.contract import ExportOptions, Sheet
from services.exporter.transcode import FlatObjects, JsonObjects, Tally


class JsonOptions(CompressionOptions, ExportOptions):
    """How the objects are laid out."""

    pretty: Flag = Field(default=True, description="Indent by two spaces.")
    json_lines: Flag = Field(default=False, description="NDJSON: one compact object per line; `pretty` has no effect.")
    decimals: Literal["number", "string"] = Field(
        default="number",
        description="How Decimal128 values are written; `string` for readers whose numbers are all doubles.",
    )


class Json:
    """The products as JSON."""

    name: ClassVar[str] = "json"
    flat: ClassVar[bool] = False
    media_types: ClassVar[Sequence[str]] = ("application/json", "application/x-ndjson", *MEDIA_TYPES.values())
    Options: ClassVar[type[ExportOptions]] = JsonOptions

    def extension(self, options: JsonOptions) -> str:
        """`.json`, or `.jsonl`, and the suffix of its compression."""
        return stored_extension(".jsonl" if options.json_lines else ".json", options)

    def media_type(self, options: JsonOptions) -> str:
        """JSON's media type, the one in common use for NDJSON, or that of its compression."""
        return stored_media_type(self.media_types[options.json_lines], options)

    def sheets(self, options: JsonOptions) -> Sequence[str]:  # noqa: ARG002
        """The products only."""
        return ["products"]

    def encode(self, sheets: Sequence[Sheet], options: JsonOptions, tally: Tally) -> Generator[bytes, None, None]:
        """An array, or lines; one chunk per batch, compressed if requested."""
        [sheet] = sheets
        tally.records[sheet.name] = 0
        content = _lines if options.json_lines else _array
        return stored(content(sheet, options, tally), options)


def _objects(
    sheet: Sheet, options: JsonOptions, tally: Tally, newline: str | None, ending: str
) -> JsonObjects | FlatObjects:
    known = transcode.transcoders()
    transcoder = known.json_objects if sheet.selection.output is None else known.flat_objects
    return transcoder(
        sheet.name,
        sheet.selection,
        tally,
        newline=newline,
        ending=ending,
        quote_decimals=options.decimals == "string",
    )


def _lines(sheet: Sheet, options: JsonOptions, tally: Tally) -> Generator[bytes, None, None]:
    objects = _objects(sheet, options, tally, None, "\n")
    for batch in sheet.batches:
        lines = objects.encode(batch)
        tally.records[sheet.name] += lines.rows
        yield lines.text


def _array(sheet: Sheet, options: JsonOptions, tally: Tally) -> Generator[bytes, None, None]:
    pretty = options.pretty
    newline = "\n  " if pretty else None
    opening, between, closing = ("[\n  ", ",\n  ", "\n]\n") if pretty else ("[", ",", "]")
    objects = _objects(sheet, options, tally, newline, between)
    held = b""
    for batch in sheet.batches:
        elements = objects.encode(batch)
        if elements.rows:
            tally.records[sheet.name] += elements.rows
            yield held or opening.encode()
            held = elements.text
    # The last batch was held back: it must not end in a comma.
    yield held.removesuffix(between.encode()) + closing.encode() if held else b"[]\n" if pretty else b"[]"


FORMAT = Json()
