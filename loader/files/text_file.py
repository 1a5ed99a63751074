"""Opens a file as text in the encodings that exports and spreadsheets write."""

import codecs
from enum import Enum
from pathlib import Path
from typing import TextIO

from loader.errors import BadFile, BadRecord

CHUNK = 1 << 20
MAX_RECORD = 96 << 20
"""Characters of one record: MongoDB allows 16 MiB in a document, and escapes make text up to six times as long."""

JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
CSV_SUFFIXES = {".csv", ".tsv"}
WORKBOOK_STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of `.xlsx` and `.ods`, and of `.xls`."""


class FileKind(Enum):
    """How a file is read."""

    JSON = 1
    CSV = 2
    WORKBOOK = 3


def kind_of_file(path: Path) -> FileKind:
    """What the file is: by the first bytes of workbooks, else by its extension, else by its first character.

    Raises:
        BadFile: it is not a file, or is empty.
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise BadFile("not a file")
    with path.open("rb") as source:
        start = source.read(CHUNK)
    if start.startswith(WORKBOOK_STARTS):
        return FileKind.WORKBOOK
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise BadFile("the file is empty")
    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES:
        return FileKind.CSV
    is_json = suffix in JSON_SUFFIXES or start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")
    return FileKind.JSON if is_json else FileKind.CSV


def open_text(path: Path) -> TextIO:
    """The file as text: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Invalid bytes become unpaired surrogates, so that only the records that contain them are refused.
    """
    with path.open("rb") as source:
        begin = source.read(2)
    encoding = "utf-16" if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


def check_text(text: str) -> None:
    """Refuse text that was not UTF-8 in the file.

    Raises:
        BadRecord: with advice.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadRecord('not UTF-8; in Excel, save as "CSV UTF-8"') from exc
