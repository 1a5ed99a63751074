"""Reads the rows of an Excel workbook; programs that save a workbook keep the types of its cells, unlike in CSV."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from loader.errors import BadFile
from loader.files.table import Row, Rows, header_of

_KEPT_DIGITS = 15


class WorkbookRows(Rows):
    """The rows of one table in a workbook; a table of over a million rows goes on in `products (2)` and so on.

    Args:
        table: the name of the sheet; a workbook with a single sheet may have any name.

    Raises:
        BadFile: it is not a workbook, or does not have the sheet.
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
