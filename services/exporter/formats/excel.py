"""Excel: a workbook of typed cells. openpyxl makes workbook and styles; rows are streamed as XML into the package."""

import io
import zipfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.writer.excel import ExcelWriter
from pydantic import Field, field_validator

from services.exporter import transcode
from services.exporter.export.widths import widths
from services.exporter.formats.contract import ExportOptions, Flag, Sheet, Tally, TooManyColumns
from services.exporter.formats.package import FIXED_TIME, Member, package
from services.exporter.transcode import Pieces
from services.exporter.transcode.sheet_xml import column_letters

MOST_ROWS = 1_048_576
"""Rows of a sheet, with the header."""
MOST_COLUMNS = 16_384
MOST_BYTES = 3 << 30
"""A worksheet is ended at this size too: Excel distrusts packages with members that need the 64-bit format."""
HEADER_STYLE, DATE_STYLE = 1, 2

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
)
_FROZEN = (
    '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft"'
    ' state="frozen"/><selection pane="bottomLeft"/></sheetView></sheetViews>'
)

SheetName = Literal["products", "suppliers"]


class ExcelOptions(ExportOptions):
    """Which sheets, and how they look."""

    include_sheets: tuple[SheetName, ...] = Field(
        default=("products",), min_length=1, description="The sheets, in this order; filters and fields are products'."
    )
    formatting: Flag = Field(default=True, description="Bold frozen header, filter, column widths.")

    @field_validator("include_sheets")
    @classmethod
    def _once_each(cls, names: tuple[SheetName, ...]) -> tuple[SheetName, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names a sheet more than once")
        return names

    @property
    def shows_widths(self) -> bool:
        """As `formatting`."""
        return self.formatting


class Excel:
    """The products, and if wanted the suppliers, as an Excel workbook."""

    name: ClassVar[str] = "excel"
    flat: ClassVar[bool] = True
    Options: ClassVar[type[ExportOptions]] = ExcelOptions

    def extension(self, options: ExcelOptions) -> str:  # noqa: ARG002
        """Always `.xlsx`."""
        return ".xlsx"

    def media_type(self, options: ExcelOptions) -> str:  # noqa: ARG002
        """As registered with IANA."""
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def sheets(self, options: ExcelOptions) -> Sequence[str]:
        """The collections asked for."""
        return options.include_sheets

    def encode(self, sheets: Sequence[Sheet], options: ExcelOptions, tally: Tally) -> Generator[bytes, None, None]:
        """The package: the sheets first, since how many there are is known only after the last row."""
        for sheet in sheets:
            if len(sheet.columns) > MOST_COLUMNS:
                raise TooManyColumns(len(sheet.columns), MOST_COLUMNS)
        return package(_members(sheets, options, tally))


def _members(sheets: Sequence[Sheet], options: ExcelOptions, tally: Tally) -> Iterator[Member]:
    areas: dict[str, str] = {}
    for sheet in sheets:
        tally.records[sheet.name] = 0
        pages = Pages(sheet, options, tally)
        for page in pages.contents():
            name = sheet.name if page == 1 else f"{sheet.name} ({page})"
            yield Member(f"xl/worksheets/sheet{len(areas) + 1}.xml", pages.xml())
            areas[name] = pages.area
    yield from _frame(areas, filtered=options.formatting)


class Pages:
    """Cuts the rows of one collection into worksheets; `area` is what the last one covers."""

    def __init__(self, sheet: Sheet, options: ExcelOptions, tally: Tally) -> None:
        self._sheet = sheet
        self._formatting = options.formatting
        self._tally = tally
        self._rows = transcode.transcoders().sheet_rows(
            sheet.name, sheet.columns, sheet.selection, tally, date_style=DATE_STYLE
        )
        self._pieces = Pieces(sheet.batches)
        self.area = ""

    def contents(self) -> Iterator[int]:
        """1, and the number of each further worksheet while there are rows."""
        number = 1
        while number == 1 or self._pieces.more():
            yield number
            number += 1

    def xml(self) -> Iterator[bytes]:
        """One worksheet, as full as it may be."""
        look = _FROZEN + _cols(self._sheet.columns, self._sheet.widths) if self._formatting else ""
        yield f"{_HEAD}{look}<sheetData>".encode()
        yield self._rows.header(HEADER_STYLE if self._formatting else None)
        number, written = 2, 0
        while number <= MOST_ROWS and written < MOST_BYTES and self._pieces.more():
            rows = self._rows.encode(self._pieces.take(MOST_ROWS + 1 - number), number)
            self._tally.records[self._sheet.name] += rows.rows
            number += rows.rows
            written += len(rows.text)
            yield rows.text
        if self._formatting:
            self._tally.widths[self._sheet.name] = widths(self._sheet.columns, self._rows.longest())
        self.area = f"A1:{column_letters(max(1, len(self._sheet.columns)))}{number - 1}"
        filtered = f'<autoFilter ref="{self.area}"/>' if self._formatting else ""
        yield f"</sheetData>{filtered}</worksheet>".encode()


def _cols(columns: Sequence[str], known: Mapping[str, int]) -> str:
    """The widths, as far as they are known."""
    cols = [
        f'<col min="{at}" max="{at}" width="{known[name]}" customWidth="1"/>'
        for at, name in enumerate(columns, 1)
        if name in known
    ]
    return f"<cols>{''.join(cols)}</cols>" if cols else ""


def _frame(areas: Mapping[str, str], *, filtered: bool) -> Iterator[Member]:
    """Everything of the package but the worksheets (their names and areas), as openpyxl writes it."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, area in areas.items():
        page = book.create_sheet(name)
        if filtered:  # the workbook names what is filtered, _xlnm._FilterDatabase, as Excel does
            page.auto_filter.ref = area
    # The first two cell formats made are numbers 1 and 2 in the styles.
    first = book.worksheets[0]
    first["A1"].font = Font(name="Calibri", size=11, bold=True)
    first["A2"].number_format = "yyyy-mm-dd hh:mm:ss"
    book.properties.creator = "Catalog Exports"
    book.properties.created = book.properties.modified = FIXED_TIME  # same content, same bytes
    saved = io.BytesIO()
    # Not Workbook.save, which notes the time of writing.
    ExcelWriter(book, zipfile.ZipFile(saved, "w")).save()
    with zipfile.ZipFile(saved) as archive:
        for name in archive.namelist():
            if not name.startswith("xl/worksheets/"):
                yield Member(name, [archive.read(name)])


FORMAT = Excel()
