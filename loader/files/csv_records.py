"""Reads a CSV file's header and rows, each with the number of the line it begins on."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from loader.errors import BadFile, BadRecord
from loader.files.text_file import CHUNK, LONGEST, check_text

DELIMITERS = ",;\t|"
_KEY_FIRST = re.compile(r'"?(?:_?id|sku)"?([,;\t|])')
_STRAY_QUOTE = "expected after"


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The cells of one row, or what is wrong with it."""

    line: int
    cells: tuple[str, ...]
    problem: str = ""


class CsvRows:
    """A CSV file's header and rows; the delimiter is the one behind a key's name, else the one that splits most.

    A column without a name may be there as long as it is empty: spreadsheets keep columns that were emptied.

    Raises:
        BadFile: there is no header, a name twice, or a quote that never ends.
    """

    def __init__(self, source: TextIO) -> None:
        csv.field_size_limit(LONGEST)
        header, self._line = _first_record(source)
        try:
            check_text(header)
        except BadRecord as exc:
            raise BadFile(f"the header is {exc}") from exc
        key = _KEY_FIRST.match(header)
        self.delimiter = key[1] if key else max(DELIMITERS, key=lambda d: len(_cells(header, d)))
        names = _cells(header, self.delimiter)
        while names and not names[-1]:
            names.pop()
        if not names:
            raise BadFile("the file has no header line")
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise BadFile(f"the header names {', '.join(twice)} more than once")
        self.header = tuple(names)
        self._nameless = [place for place, name in enumerate(names) if not name]
        self._source = source

    def __iter__(self) -> Iterator[CsvRecord]:
        """The rows; those without any text are passed over.

        Raises:
            BadFile: a quote that never ends.
        """
        reader = csv.reader(self._source, delimiter=self.delimiter, strict=True)
        while True:
            line = self._line + reader.line_num
            try:
                cells = next(reader, None)
            except csv.Error as exc:
                if _STRAY_QUOTE not in str(exc):
                    raise BadFile(f"a quote on line {line} or after it never ends") from exc
                yield CsvRecord(line, (), 'not CSV: text after a closing quote; a quote inside a cell is written ""')
                continue
            if cells is None:
                return
            if any(cells):
                yield self._checked(line, cells)

    def _checked(self, line: int, cells: list[str]) -> CsvRecord:
        width = len(self.header)
        if len(cells) < width or any(cells[width:]) or any(cells[place] for place in self._nameless):
            named = width - len(self._nameless)
            return CsvRecord(line, (), f"{len(cells)} cells, but the header has {named} names")
        return CsvRecord(line, tuple(cells[:width]))


def _first_record(source: TextIO) -> tuple[str, int]:
    """The text of the first record, which may go on over line breaks in quotes, and the line behind it.

    Blank lines before it are a part of it.
    """
    record = line = source.readline(CHUNK)
    next_line = 2
    while line and (not record.strip() or record.count('"') % 2) and len(record) < CHUNK:
        line = source.readline(CHUNK)
        record += line
        next_line += 1
    if record.count('"') % 2 or len(record) >= CHUNK:
        raise BadFile("the header is too long, or a quote in it never ends")
    return record, next_line


def _cells(record: str, delimiter: str) -> list[str]:
    rows = csv.reader(io.StringIO(record, newline=""), delimiter=delimiter)
    return next((row for row in rows if row), [])
