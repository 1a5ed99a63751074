"""Reads the rows of an Excel workbook; programs that save a workbook keep the types of its cells, unlike in CSV."""

import re
import zipfile
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import unescape

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from loader.errors import BadFile
from loader.files.table import Row, Rows, header_of
from loader.files.text_file import CHUNK

_BOOK, _RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_LOST = re.compile(
    rb'<c [^>]*t="e"[^>]*>|<c [^>]*[^/>]>\s*<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>'
)
_KEPT_DIGITS = 15


class WorkbookRows(Rows):
    """The rows of one table in a workbook; a table of over a million rows goes on in `products (2)` and so on.

    Args:
        table: the name of the sheet; a workbook with a single sheet may have any name.

    Raises:
        BadFile: it is not a workbook, does not have the sheet, or has a cell whose value was not saved.
    """

    may_be_escaped = False

    def __init__(self, path: Path, table: str) -> None:
        try:
            book = CalamineWorkbook.from_path(path)
            names = [name for name in book.sheet_names if re.fullmatch(rf"{re.escape(table)}( \(\d+\))?", name)]
            if not names and len(book.sheet_names) == 1:
                names = book.sheet_names
            if not names:
                raise BadFile(f"it has no sheet {table!r}, only {', '.join(map(repr, book.sheet_names))}")
            _refuse_lost_values(path, names)
            self._sheets = [book.get_sheet_by_name(name) for name in names]
        except CalamineError as exc:
            raise BadFile(f"not an Excel workbook ({exc}); unpack other ZIP files before you load them") from exc
        self._read = 0
        super().__init__(next((header_of(cells) for _, cells in _rows(self._sheets[0])), ()))

    def __iter__(self) -> Iterator[Row]:
        """The rows of all sheets; every sheet has the header, and its rows have the numbers that Excel shows."""
        self._read = 0
        for sheet in self._sheets:
            rows = _rows(sheet)
            _, names = next(rows, (0, []))
            if header_of(names) != self.header:
                raise BadFile(f"the sheet {sheet.name!r} has another header than {self._sheets[0].name!r}")
            for number, cells in rows:
                self._read += 1
                yield self.checked(number, cells)

    def share_read(self) -> float:
        """How much of the table was read so far, from 0 to 1."""
        return self._read / max(1, sum(sheet.height for sheet in self._sheets))


def _rows(sheet: CalamineSheet) -> Iterator[tuple[int, list[str]]]:
    for number, values in enumerate(sheet.iter_rows(), 1):
        cells = [cell_text(value) for value in values]
        if any(cells):
            yield number, cells


def _refuse_lost_values(path: Path, names: Collection[str]) -> None:
    """Refuse sheets of `.xlsx` with cells that calamine takes for empty, so that their values would be removed.

    Raises:
        BadFile: a cell holds an error, or a formula without a saved value.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
        if not {_BOOK, _RELATIONS} <= members:
            return
        targets = {
            found[0]: found[1] for found in _attributes(archive.read(_RELATIONS), "Relationship", "Id", "Target")
        }
        for name, key in _attributes(archive.read(_BOOK), "sheet", "name", "r:id"):
            member = "xl/" + targets.get(key, "").removeprefix("/").removeprefix("xl/")
            if name in names and member in members:
                with archive.open(member) as sheet:
                    _refuse_lost_cells(name, sheet)


def _attributes(xml: bytes, tag: str, *names: str) -> Iterator[tuple[str, ...]]:
    for found in re.findall(rf"<{tag}\s[^>]*>", xml.decode()):
        values = dict(re.findall(r'([\w:]+)="([^"]*)"', found))
        yield tuple(unescape(values.get(name, ""), {"&quot;": '"'}) for name in names)


def _refuse_lost_cells(name: str, sheet: IO[bytes]) -> None:
    rest = b""
    while chunk := sheet.read(CHUNK):
        text = rest + chunk
        if found := _LOST.search(text):
            cell = found[0].decode(errors="replace").partition('r="')[2].partition('"')[0]
            advice = "save the workbook in a spreadsheet program" if b"<f" in found[0] else "correct it"
            what = "a formula without a saved value" if b"<f" in found[0] else "an error"
            raise BadFile(f"cell {cell} of {name!r} holds {what}; {advice}")
        rest = text[text.rfind(b"<c ") :] if b"<c " in text else b""


def cell_text(value: Any) -> str:
    """A cell as exports write it; a time is rounded to the milliseconds of MongoDB."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 10**_KEPT_DIGITS else repr(value)
        case datetime():
            at = value + timedelta(microseconds=500)
            millis = at.microsecond // 1000
            return f"{at.replace(microsecond=0).isoformat()}{f'.{millis:03}' if millis else ''}Z"
        case date():
            return f"{value.isoformat()}T00:00:00Z"
        case _:
            return str(value)
