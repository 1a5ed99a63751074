"""Splits JSON Lines, or one JSON array of any size, into the texts of its documents."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from loader.errors import BadFile
from loader.files.text_file import CHUNK, MAX_RECORD

_TOKEN = re.compile(r'["\\{}\[\],\n]')


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """The text of one document, and the number of its first line."""

    line: int
    text: str


def json_records(source: TextIO) -> Iterator[JsonRecord]:
    """The documents; blank lines are skipped.

    Raises:
        BadFile: the array is truncated or followed by other text, or the file is one object over several lines.
    """
    first = ""
    while (character := source.read(1)) and character.isspace():
        first += character
    line = 1 + first.count("\n")
    if character == "[":
        yield from _Elements(line).split(source)
        return
    rest = character + source.readline(MAX_RECORD)
    if rest.strip() == "{":
        raise BadFile("one object over several lines; load JSON Lines (one object per line) or an array of objects")
    while rest:
        if len(rest) >= MAX_RECORD:
            raise BadFile(f"line {line} is longer than a document can be")
        if text := rest.strip():
            yield JsonRecord(line, text)
        line += 1
        rest = source.readline(MAX_RECORD)


class _Elements:
    """Splits a JSON array into the texts of its elements; keeps only one of them in memory."""

    def __init__(self, line: int) -> None:
        self._line = self._begun = line
        self._depth = 1
        self._in_string = False
        self._parts: list[str] = []
        self._count = 0

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
            if sum(map(len, self._parts)) > MAX_RECORD:
                raise BadFile(f"the element that begins on line {self._begun} is longer than a document can be")
        raise BadFile(f"the JSON array is truncated; its last element begins on line {self._begun}")

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
        self._count += 1
        if text.strip() or self._depth or self._count > 1:  # an empty text is an element unless the array is `[]`
            yield JsonRecord(line, text.strip())

    def _check_end(self, rest: str) -> None:
        if rest.strip():
            raise BadFile(f"there is text after the end of the JSON array on line {self._line}")
