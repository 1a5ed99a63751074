"""Excel: a workbook of typed cells. openpyxl writes workbook and styles; rows are streamed into the package as XML."""

import io
import re
import zipfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from enum import Enum
from functools import reduce
from operator import or_
from typing import ClassVar, Literal

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.writer.excel import ExcelWriter
from pydantic import Field, field_validator

from services.exporter import transcode
from services.exporter.formats.column_options import Flag
from services.exporter.formats.contract import COMPRESSED_ALREADY, ExportOptions, Sheet, TooManyColumns
from services.exporter.formats.package import Member, package
from services.exporter.transcode import BatchSlicer, Tally
from services.exporter.transcode.sheet_xml import (
    HAS_MILLIS,
    HAS_MONEY,
    HAS_OTHERS,
    STYLED_COLUMNS,
    column_letters,
    column_widths,
)

PRODUCER = "Catalog Exports"
MAX_ROWS = 1_048_576
"""Rows of a worksheet, including the header."""
MAX_COLUMNS = 16_384
MAX_SHEET_BYTES = 3 << 30
"""A worksheet ends at this size too: Excel reports packages with members in the 64-bit ZIP format as damaged."""
HEADER_STYLE = 1
FIRST_STYLE = 2
"""The first style of the first worksheet; sheet_xml.py says which styles a worksheet has."""

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
)
_FROZEN = (
    '<sheetPr><pageSetUpPr fitToPage="1"/></sheetPr>'
    '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft"'
    ' state="frozen"/><selection pane="bottomLeft"/></sheetView></sheetViews>'
)

_LANDSCAPE_ONE_PAGE_WIDE = '<pageSetup orientation="landscape" fitToWidth="1" fitToHeight="0"/>'

SheetName = Literal["products", "suppliers"]


class ExcelOptions(ExportOptions):
    """Which sheets, and whether they are formatted."""

    refused: ClassVar[Mapping[str, str]] = COMPRESSED_ALREADY

    include_sheets: tuple[SheetName, ...] = Field(
        default=("products",), min_length=1, description="The sheets, in this order; filters and fields are products'."
    )
    formatting: Flag = Field(
        default=True, description="Bold frozen header, filter, column widths, page layout; two decimals for prices."
    )

    @field_validator("include_sheets")
    @classmethod
    def _once_each(cls, names: tuple[SheetName, ...]) -> tuple[SheetName, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names a sheet more than once")
        return names

    @property
    def shows_widths(self) -> bool:
        """Only with `formatting`."""
        return self.formatting


class Excel:
    """The products, and if wanted the suppliers, as an Excel workbook."""

    name: ClassVar[str] = "excel"
    flat: ClassVar[bool] = True
    media_types: ClassVar[Sequence[str]] = ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",)
    Options: ClassVar[type[ExportOptions]] = ExcelOptions

    def extension(self, options: ExcelOptions) -> str:  # noqa: ARG002
        """Always `.xlsx`."""
        return ".xlsx"

    def media_type(self, options: ExcelOptions) -> str:  # noqa: ARG002
        """As registered with IANA."""
        return self.media_types[0]

    def sheets(self, options: ExcelOptions) -> Sequence[str]:
        """The requested collections."""
        return options.include_sheets

    def encode(self, sheets: Sequence[Sheet], options: ExcelOptions, tally: Tally) -> Generator[bytes, None, None]:
        """The package: worksheets first, since their number is known only after the last row."""
        for sheet in sheets:
            if len(sheet.columns) > MAX_COLUMNS:
                raise TooManyColumns(len(sheet.columns), MAX_COLUMNS)
        return package(_members(sheets, options, tally))


def _members(sheets: Sequence[Sheet], options: ExcelOptions, tally: Tally) -> Iterator[Member]:
    areas: dict[str, str] = {}
    styles: list[CellStyle] = []
    for sheet in sheets:
        tally.records[sheet.name] = 0
        pages = Pages(sheet, options, tally, FIRST_STYLE + len(styles))
        for page in pages.contents():
            name = sheet.name if page == 1 else f"{sheet.name} ({page})"
            yield Member(f"xl/worksheets/sheet{len(areas) + 1}.xml", pages.xml())
            areas[name] = pages.area
        styles += pages.styles()
    yield from _frame(areas, styles, formatted=options.formatting)


class Pages:
    """Splits the rows of one collection into worksheets; `area` is the range of cells of the last one."""

    def __init__(self, sheet: Sheet, options: ExcelOptions, tally: Tally, first_style: int) -> None:
        self._sheet = sheet
        self._formatting = options.formatting
        self._tally = tally
        self._rows = transcode.transcoders().sheet_rows(
            sheet.name, sheet.columns, sheet.selection, tally, first_style=first_style
        )
        self._slicer = BatchSlicer(sheet.batches)
        self.area = ""

    def contents(self) -> Iterator[int]:
        """1, and the number of each further worksheet while there are rows."""
        number = 1
        while number == 1 or self._slicer.more():
            yield number
            number += 1

    def styles(self) -> Iterator["CellStyle"]:
        """The styles of each column's dates and decimals, which are known after the last row."""
        contents = self._rows.contents()
        shared = reduce(or_, contents[STYLED_COLUMNS:], 0)
        for content in [*contents[:STYLED_COLUMNS], shared]:
            yield CellStyle.MILLIS if content & HAS_MILLIS else CellStyle.SECONDS
            only_money = content & HAS_MONEY and not content & HAS_OTHERS
            yield CellStyle.MONEY if only_money and self._formatting else CellStyle.GENERAL

    def xml(self) -> Iterator[bytes]:
        """One worksheet, as full as possible."""
        view = _FROZEN + _cols(self._sheet.columns, self._sheet.widths) if self._formatting else ""
        yield f"{_HEAD}{view}<sheetData>".encode()
        yield self._rows.header(HEADER_STYLE if self._formatting else None)
        number, written = 2, 0
        while number <= MAX_ROWS and written < MAX_SHEET_BYTES and self._slicer.more():
            rows = self._rows.encode(self._slicer.take(MAX_ROWS + 1 - number), number)
            self._tally.records[self._sheet.name] += rows.rows
            number += rows.rows
            written += len(rows.text)
            yield rows.text
        if self._formatting:
            self._tally.widths[self._sheet.name] = column_widths(self._sheet.columns, self._rows.longest())
        self.area = f"A1:{column_letters(max(1, len(self._sheet.columns)))}{number - 1}"
        filtered = f'<autoFilter ref="{self.area}"/>' if self._formatting else ""
        layout = _LANDSCAPE_ONE_PAGE_WIDE if self._formatting else ""
        yield f"</sheetData>{filtered}{layout}</worksheet>".encode()


def _cols(columns: Sequence[str], known: Mapping[str, int]) -> str:
    """The widths of the columns that have one."""
    cols = [
        f'<col min="{at}" max="{at}" width="{known[name]}" customWidth="1"/>'
        for at, name in enumerate(columns, 1)
        if name in known
    ]
    return f"<cols>{''.join(cols)}</cols>" if cols else ""


class CellStyle(Enum):
    """The styles of cells by their place in the workbook that openpyxl writes."""

    GENERAL = 0
    SECONDS = 2
    MILLIS = 3
    MONEY = 4


_FORMATS = {
    CellStyle.SECONDS: "yyyy-mm-dd hh:mm:ss",
    CellStyle.MILLIS: "yyyy-mm-dd hh:mm:ss.000",
    CellStyle.MONEY: "0.00",
}
_CELL_STYLES = re.compile(rb"<cellXfs .*?</cellXfs>", re.DOTALL)
_APPLICATION = re.compile(rb"<Application>.*?</AppVersion>", re.DOTALL)
_TIMES = re.compile(rb"<dcterms:(created|modified)[^>]*>[^<]*</dcterms:\1>")


def _frame(areas: Mapping[str, str], styles: Sequence[CellStyle], *, formatted: bool) -> Iterator[Member]:
    """The members of the package other than worksheets, as openpyxl writes them.

    Args:
        areas: by worksheet name.
        styles: the styles from `FIRST_STYLE` on.
    """
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, area in areas.items():
        page = book.create_sheet(name)
        if formatted:
            page.print_title_rows = "1:1"  # the header is repeated on every printed page
            # Adds the defined name _xlnm._FilterDatabase, as Excel does
            page.auto_filter.ref = area
    # The first cell formats become styles 1, 2 and so on.
    first = book.worksheets[0]
    first["A1"].font = Font(name="Calibri", size=11, bold=True)
    for style, number_format in _FORMATS.items():
        first.cell(style.value, 1).number_format = number_format
    book.properties.creator = PRODUCER
    saved = io.BytesIO()
    # Workbook.save would store the current time.
    ExcelWriter(book, zipfile.ZipFile(saved, "w")).save()
    with zipfile.ZipFile(saved) as archive:
        for name in archive.namelist():
            if not name.startswith("xl/worksheets/"):
                yield Member(name, [_completed(name, archive.read(name), styles)])


def _completed(name: str, xml: bytes, styles: Sequence[CellStyle]) -> bytes:
    """A member without the name of another program and without times, and with the style of each column."""
    if name == "docProps/app.xml":
        return _APPLICATION.sub(f"<Application>{PRODUCER}</Application>".encode(), xml)
    if name == "docProps/core.xml":  # same content, same bytes
        return _TIMES.sub(b"", xml)
    if name != "xl/styles.xml":
        return xml
    found = re.findall(rb"<xf .*?(?:/>|</xf>)", _CELL_STYLES.findall(xml)[0], re.DOTALL)
    cells = [*found[:FIRST_STYLE], *(found[style.value] for style in styles)]
    return _CELL_STYLES.sub(b'<cellXfs count="%d">%b</cellXfs>' % (len(cells), b"".join(cells)), xml)


FORMAT = Excel()
