"""Reads the header and the rows of a CSV file, each with the number of its first line."""

import csv
import io
import re
from collections.abc import Iterator
from typing import TextIO

from loader.errors import BadFile, BadRecord
from loader.files.table import Row, Rows, header_of
from loader.files.text_file import CHUNK, MAX_RECORD, check_text

DELIMITERS = ",;\t|"
_KEY_FIRST = re.compile(r'"?(?:_?id|sku)"?([,;\t|])')
_STRAY_QUOTE = "expected after"


class CsvRows(Rows):
    """The header and rows of a CSV file; the delimiter is the one after a key's name, else the most frequent one.

    Raises:
        BadFile: the header is missing, has a name twice, or has a quote that is never closed.
    """

    def __init__(self, source: TextIO) -> None:
        csv.field_size_limit(MAX_RECORD)
        header, self._line = _first_record(source)
        try:
            check_text(header)
        except BadRecord as exc:
            raise BadFile(f"the header is {exc}") from exc
        key = _KEY_FIRST.match(header)
        self.delimiter = key[1] if key else max(DELIMITERS, key=lambda d: len(_cells(header, d)))
        super().__init__(header_of(_cells(header, self.delimiter)))
        self._source = source

    def __iter__(self) -> Iterator[Row]:
        """The rows; empty rows are skipped.

        Raises:
            BadFile: a quote is never closed.
        """
        reader = csv.reader(self._source, delimiter=self.delimiter, strict=True)
        while True:
            line = self._line + reader.line_num
            try:
                cells = next(reader, None)
            except csv.Error as exc:
                if _STRAY_QUOTE not in str(exc):
                    raise BadFile(f"a quote on line {line} or after it never ends") from exc
                yield Row(line, (), 'not CSV: text after a closing quote; a quote inside a cell is written ""')
                continue
            if cells is None:
                return
            if any(cells):
                yield self.checked(line, cells)


def _first_record(source: TextIO) -> tuple[str, int]:
    """The text of the first record, which may contain quoted line breaks, and the number of the next line.

    Blank lines before the record are part of it.
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
