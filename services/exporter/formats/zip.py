"""ZIP: the products as numbered CSV files with a limited number of rows, each with the header."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.json_types import HOWEVER_WRITTEN
from services.exporter.formats.contract import COMPRESSED_ALREADY, DelimitedOptions, ExportOptions, Sheet
from services.exporter.formats.csv import delimited, file_start
from services.exporter.formats.package import Member, package
from services.exporter.transcode import BatchSlicer, CsvRows, Tally

MAX_PART_BYTES = 1 << 30
"""A part ends at this size, so that it does not need the 64-bit ZIP format, which some tools cannot read."""

MIN_DIGITS = 4


class ZipOptions(DelimitedOptions):
    """CSV's options, and the size of a part."""

    refused: ClassVar[Mapping[str, str]] = COMPRESSED_ALREADY

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
        parts = Parts(sheet, delimited(sheet, options, tally), options, tally)
        return package(parts.members())


class Parts:
    """Splits one stream of rows into parts."""

    def __init__(self, sheet: Sheet, transcoder: CsvRows, options: ZipOptions, tally: Tally) -> None:
        self._name = sheet.name
        self._slicer = BatchSlicer(sheet.batches)
        self._transcoder = transcoder
        self._options = options
        self._tally = tally
        parts = -(-(sheet.expected or 0) // options.max_rows_per_file)
        # With as many digits as the last number, programs that sort the names keep the order of the parts.
        self._digits = max(MIN_DIGITS, len(str(parts)))

    def members(self) -> Iterator[Member]:
        """The parts in order; there is always a first one, even without rows."""
        number = 1
        while number == 1 or self._slicer.more():
            yield Member(f"products_{number:0{self._digits}}.csv", self._part())
            number += 1

    def _part(self) -> Iterator[bytes]:
        room, written = self._options.max_rows_per_file, 0
        yield file_start(self._transcoder, self._options)
        while room and written < MAX_PART_BYTES and self._slicer.more():
            lines = self._transcoder.encode(self._slicer.take(room))
            room -= lines.rows
            written += len(lines.text)
            self._tally.records[self._name] += lines.rows
            yield lines.text


FORMAT = Zip()
