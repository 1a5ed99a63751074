"""JSON: one array, or NDJSON; keeps nesting and types."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from services.exporter import transcode
from services.exporter.catalogue.columns import Selection
from services.exporter.formats.column_options import Flag
from services.exporter.formats.compression import (
    MEDIA_TYPES,
    CompressionOptions,
    stored,
    stored_extension,
    stored_media_type,
)
from services.exporter.formats.contract import ExportOptions, Sheet
from services.exporter.formats.row_changes import Rows, TrackedRows, key_places
from services.exporter.manifests.options import CHANGE_COLUMN, ChangeOptions
from services.exporter.transcode import Encoded, FlatObjects, JsonObjects, Tally
from services.exporter.transcode.values import json_text, parts


class JsonOptions(CompressionOptions, ChangeOptions, ExportOptions):
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


class _Objects:
    """The objects of a sheet with these options.

    Args:
        newline: None for compact objects; else a line break followed by the indentation of the objects.
        ending: written after each object.
    """

    def __init__(self, sheet: Sheet, options: JsonOptions, tally: Tally, newline: str | None, ending: str) -> None:
        self._sheet = sheet
        self._newline = newline
        self._ending = ending
        self._quote_decimals = options.decimals == "string"
        self._tracker = sheet.tracker
        self._rows: Rows
        if sheet.tracker is None:
            self._rows = self._transcoder(sheet.selection, tally)
        else:
            self._rows = TrackedRows(
                self._transcoder, sheet.selection, tally, sheet.tracker, mark=self._marked, ending=ending.encode()
            )

    def encode(self, batch: bytes) -> Encoded:
        """The objects of a batch."""
        return self._rows.encode(batch)

    def deletions(self) -> Iterator[Encoded]:
        """Once all batches are encoded, the objects of the deleted rows: what happened, and their key."""
        if self._tracker is not None and self._tracker.has_changes_only and self._tracker.deletions == "column":
            paths = [self._path(name) for name in self._tracker.key]
            for cells in self._tracker.deleted():
                deleted: dict[str, Any] = {CHANGE_COLUMN: "deleted"}
                for path, cell in zip(paths, cells, strict=True):
                    _put(deleted, path, int(cell.text) if cell.is_number else cell.text)
                yield Encoded((json_text(deleted, self._newline) + self._ending).encode(), 1)

    def _path(self, name: str) -> list[str]:
        output = self._sheet.selection.output
        return parts(name) if output is None else [output.headers[key_places((), self._sheet.selection, [name])[0]]]

    def _transcoder(self, selection: Selection, tally: Tally) -> JsonObjects | FlatObjects:
        known = transcode.transcoders()
        transcoder = known.json_objects if selection.output is None else known.flat_objects
        return transcoder(
            self._sheet.name,
            selection,
            tally,
            newline=self._newline,
            ending=self._ending,
            quote_decimals=self._quote_decimals,
        )

    def _marked(self, text: bytes, what: str) -> bytes:
        """An object with what happened as its first member."""
        between = "" if self._newline is None else f"{self._newline}  "
        colon = ":" if self._newline is None else ": "
        return f'{{{between}"{CHANGE_COLUMN}"{colon}"{what}",'.encode() + text[1:]


def _put(target: dict[str, Any], path: Sequence[str], value: object) -> None:
    *above, last = path
    for key in above:
        target = target.setdefault(key, {})
    target[last] = value


def _lines(sheet: Sheet, options: JsonOptions, tally: Tally) -> Generator[bytes, None, None]:
    objects = _Objects(sheet, options, tally, None, "\n")
    for lines in _encoded(sheet, objects):
        tally.records[sheet.name] += lines.rows
        yield lines.text


def _array(sheet: Sheet, options: JsonOptions, tally: Tally) -> Generator[bytes, None, None]:
    pretty = options.pretty
    newline = "\n  " if pretty else None
    opening, between, closing = ("[\n  ", ",\n  ", "\n]\n") if pretty else ("[", ",", "]")
    objects = _Objects(sheet, options, tally, newline, between)
    held = b""
    for elements in _encoded(sheet, objects):
        if elements.rows:
            tally.records[sheet.name] += elements.rows
            yield held or opening.encode()
            held = elements.text
    # The last batch was held back: it must not end in a comma.
    yield held.removesuffix(between.encode()) + closing.encode() if held else b"[]\n" if pretty else b"[]"


def _encoded(sheet: Sheet, objects: _Objects) -> Iterator[Encoded]:
    for batch in sheet.batches:
        yield objects.encode(batch)
    yield from objects.deletions()


FORMAT = Json()
