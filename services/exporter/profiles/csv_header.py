"""The header of a CSV file: its first record, whatever delimiter and encoding the file has. Pure."""

import csv
import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass

from services.exporter.profiles.header_problem import HeaderProblem

DELIMITERS = (",", ";", "\t", "|")
"""Those that exports can have. Of several that fit equally well, the first counts."""
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)
"""A first line that tells Excel the delimiter."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The names of the columns, and how the file is written."""

    columns: tuple[str, ...]
    delimiter: str
    has_bom: bool


def read(content: bytes) -> CsvHeader:
    """The header of a CSV file.

    Raises:
        HeaderProblem: the file is not text, or not CSV.
    """
    text = _decoded(content).lstrip("\r\n")
    named = _SEPARATOR_LINE.match(text)
    if named is not None:
        text = text[named.end() :]
    delimiter = named[1] if named is not None else _delimiter(text)
    try:
        record = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error as exc:
        raise HeaderProblem(f"is not CSV: {exc}") from exc
    return CsvHeader(tuple(record), delimiter, content.startswith(BOM_UTF8))


def _decoded(content: bytes) -> str:
    is_utf16 = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    # Programs that do not write Unicode write the encoding of Windows in Western Europe.
    for encoding in ["utf-16"] if is_utf16 else ["utf-8-sig", "cp1252"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise HeaderProblem("is not text in UTF-8")


def _delimiter(text: str) -> str:
    """The delimiter that the first line has most often outside of quotes."""
    line = _QUOTED.sub("", text).split("\n", 1)[0]
    return max(DELIMITERS, key=line.count)
