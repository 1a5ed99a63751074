"""ZIP: the products as numbered CSV files with a limited number of rows, each with the header."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.json_types import HOWEVER_WRITTEN
from services.exporter.formats.contract import COMPRESSED_ALREADY, DelimitedOptions, ExportOptions, Sheet
from services.exporter.formats.csv import Delimited, file_start
from services.exporter.formats.package import Member, package
from services.exporter.manifests.options import ChangeOptions
from services.exporter.transcode import BatchSlicer, Encoded, Tally

MAX_PART_BYTES = 1 << 30
"""A part ends at this size, so that it does not need the 64-bit ZIP format, which some tools cannot read."""

MIN_DIGITS = 4


class ZipOptions(ChangeOptions, DelimitedOptions):
    """CSV's options, and the size of a part."""

    refused: ClassVar[Mapping[str, str]] = COMPRESSED_ALREADY
    separate_deletions: ClassVar[bool] = True

    max_rows_per_file: Annotated[int, Field(strict=True, ge=1, le=1_000_000), HOWEVER_WRITTEN] = Field(
        default=30_000, description="Rows of one part, without its header."
    )


class Zip:
    """The products as a ZIP archive of CSV files."""

    name: ClassVar[str] = "zip"
    flat: ClassVar[bool] = True
    media_types: ClassVar[Sequence[str]] = ("application/zip",)
    Options: ClassVar[type[ExportOptions]] = ZipOptions

    def extension(self, options: ZipOptions) -> str:  # noqa: ARG002
        """Always `.zip`."""
        return ".zip"

    def media_type(self, options: ZipOptions) -> str:  # noqa: ARG002
        """As registered with IANA."""
        return self.media_types[0]

    def sheets(self, options: ZipOptions) -> Sequence[str]:  # noqa: ARG002
        """All parts are one table."""
        return ["products"]

    def encode(self, sheets: Sequence[Sheet], options: ZipOptions, tally: Tally) -> Generator[bytes, None, None]:
        """The archive, chunk by chunk."""
        [sheet] = sheets
        parts = Parts(sheet, Delimited(sheet, options, tally), options, tally)
        return package(parts.members())


class Parts:
    """Splits one stream of rows into parts."""

    def __init__(self, sheet: Sheet, lines: Delimited, options: ZipOptions, tally: Tally) -> None:
        self._name = sheet.name
        self._slicer = BatchSlicer(sheet.batches)
        self._lines = lines
        self._options = options
        self._tally = tally
        parts = -(-(sheet.expected or 0) // options.max_rows_per_file)
        # With as many digits as the last number, programs that sort the names keep the order of the parts.
        self._digits = max(MIN_DIGITS, len(str(parts)))

    def members(self) -> Iterator[Member]:
        """The parts in order; there is always a first one, even without rows."""
        number = 1
        while number == 1 or self._slicer.more():
            yield Member(self._name_of(number), self._part(self._written))
            number += 1
        deletions = self._lines.deletions()
        for first in deletions:  # of a part of its own
            yield Member(self._name_of(number), self._part(lambda _: next(deletions, None), first))
            number += 1
        if self._options.changes_since is not None and self._options.deletions == "file":
            yield Member("deleted.csv", self._lines.deletion_file())

    def _name_of(self, number: int) -> str:
        return f"products_{number:0{self._digits}}.csv"

    def _written(self, room: int) -> Encoded | None:
        return self._lines.encode(self._slicer.take(room)) if self._slicer.more() else None

    def _part(self, more: Callable[[int], Encoded | None], first: Encoded | None = None) -> Iterator[bytes]:
        """One part: its header, and what `more` returns, given how many rows have room, until it is full."""
        room, written = self._options.max_rows_per_file, 0
        yield file_start(self._lines, self._options)
        lines = first if first is not None else more(room)
        while lines is not None:
            room -= lines.rows
            written += len(lines.text)
            self._tally.records[self._name] += lines.rows
            yield lines.text
            lines = more(room) if room and written < MAX_PART_BYTES else None


FORMAT = Zip()
