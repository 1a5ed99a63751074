"""Reads a file into records: one product's text or cells each, with the number of the line it begins on."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

DELIMITERS = ",;\t|"
CHUNK = 1 << 20
# A document is at most 16 MiB in MongoDB; escapes make its text longer, up to six times.
LONGEST = 96 << 20

JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
CSV_SUFFIXES = {".csv", ".tsv"}
_TOKEN = re.compile(r'["\\{}\[\],\n]')


class BadRecord(ValueError):
    """A record that cannot be loaded, and why."""


class BadFile(Exception):
    """A file none of which can be loaded, and why."""


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """The text of one document."""

    line: int
    text: str

    @property
    def size(self) -> int:
        return len(self.text)


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The cells of one row."""

    line: int
    cells: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.cells))


def is_csv(path: Path) -> bool:
    """Whether the file is CSV: by its extension, else by its first character.

    Raises:
        OSError: it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in JSON_SUFFIXES or suffix in CSV_SUFFIXES:
        return suffix in CSV_SUFFIXES
    with path.open("rb") as source:
        return source.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()[:1] not in (b"{", b"[")


def text_of(source: BinaryIO) -> TextIO:
    """The file as text: UTF-8, with or without BOM, or UTF-16 with one.

    Bytes that are neither become lone surrogates, for the record that has them to be refused.
    """
    begin = source.read(2)
    source.seek(0)
    encoding = "utf-16" if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return io.TextIOWrapper(source, encoding=encoding, errors="surrogateescape", newline="")


def check_text(text: str) -> None:
    """Refuse text that was not UTF-8 in the file.

    Raises:
        BadRecord: with what to do about it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadRecord('not UTF-8; in Excel, save as "CSV UTF-8"') from exc


def json_records(source: TextIO) -> Iterator[JsonRecord]:
    """The documents of JSON Lines, or of one JSON array; blank lines are passed over."""
    first = ""
    while (character := source.read(1)) and character.isspace():
        first += character
    line = 1 + first.count("\n")
    if character == "[":
        yield from _Elements(line).split(source)
        return
    rest = character + source.readline()
    while rest:
        if text := rest.strip():
            yield JsonRecord(line, text)
        line += 1
        rest = source.readline()


class _Elements:
    """Splits a JSON array into the texts of its elements, without holding more than one of them."""

    def __init__(self, line: int) -> None:
        self._line = self._begun = line
        self._depth = 1
        self._in_string = False
        self._parts: list[str] = []

    def split(self, source: TextIO) -> Iterator[JsonRecord]:
        skip = -1
        while chunk := source.read(CHUNK):
            start = 0
            for token in _TOKEN.finditer(chunk):
                at = token.start()
                if at == skip:
                    continue
                if self._in_string and token[0] == "\\":
                    skip = at + 1
                elif self._ends_element(token[0]):
                    yield from self._element(chunk[start:at])
                    start = at + 1
                if self._depth == 0:
                    self._check_end(chunk[start:] + source.read(CHUNK))
                    return
            skip -= len(chunk)
            self._parts.append(chunk[start:])
        raise BadFile(f"the JSON array is cut off; its last element begins on line {self._begun}")

    def _ends_element(self, mark: str) -> bool:
        if mark == "\n":
            self._line += 1
        elif mark == '"':
            self._in_string = not self._in_string
        elif not self._in_string and mark in "{[":
            self._depth += 1
        elif not self._in_string and mark in "}]":
            self._depth -= 1
            return self._depth == 0
        return not self._in_string and mark == "," and self._depth == 1

    def _element(self, last: str) -> Iterator[JsonRecord]:
        text = "".join([*self._parts, last])
        line = self._begun + text[: len(text) - len(text.lstrip())].count("\n")
        self._parts, self._begun = [], self._line
        if text.strip() or self._depth:
            yield JsonRecord(line, text.strip())

    def _check_end(self, rest: str) -> None:
        if rest.strip():
            raise BadFile(f"there is more after the end of the JSON array on line {self._line}")


class CsvRows:
    """A CSV file's header and rows; the delimiter is the one that splits the header into most names.

    Raises:
        BadFile: there is no header, a name twice, or a quote that never ends.
    """

    def __init__(self, source: TextIO) -> None:
        csv.field_size_limit(LONGEST)
        header = _first_record(source)
        try:
            check_text(header)
        except BadRecord as exc:
            raise BadFile(f"the header is {exc}") from exc
        self.delimiter = max(DELIMITERS, key=lambda d: len(_cells(header, d)))
        self._line = 1 + header.count("\n")
        names = _cells(header, self.delimiter)
        while names and not names[-1]:  # Excel keeps columns that were emptied
            names.pop()
        if not names:
            raise BadFile("the file has no header line")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadFile(f"the header names {', '.join(twice)} more than once")
        self.header = tuple(names)
        self._source = source

    def __iter__(self) -> Iterator[CsvRecord]:
        """The rows; those without any text are passed over."""
        reader = csv.reader(self._source, delimiter=self.delimiter, strict=True)
        while True:
            line = self._line + reader.line_num
            try:
                cells = next(reader, None)
            except csv.Error as exc:
                raise BadFile(f"not CSV from line {line} on: {exc}") from exc
            if cells is None:
                return
            if any(cells):
                yield CsvRecord(line, tuple(cells))


def _first_record(source: TextIO) -> str:
    """The text of the first record, which may go on over line breaks in quotes."""
    record = source.readline()
    while record.count('"') % 2 and (line := source.readline()):
        record += line
    return record


def _cells(record: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter), [])
