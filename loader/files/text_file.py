"""Opens a file as text in the encodings that exports and spreadsheets write."""

import codecs
from pathlib import Path
from typing import TextIO

from loader.errors import BadFile, BadRecord

CHUNK = 1 << 20
MAX_RECORD = 96 << 20
"""Characters of one record: MongoDB allows 16 MiB in a document, and escapes make text up to six times as long."""

JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
CSV_SUFFIXES = {".csv", ".tsv"}


def is_csv(path: Path) -> bool:
    """Whether the file is CSV: by its extension, else by its first character.

    Raises:
        BadFile: it is not a file, is empty, or is a workbook.
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise BadFile("not a file")
    with path.open("rb") as source:
        start = source.read(CHUNK)
    if start.startswith(b"PK\x03\x04"):
        raise BadFile('a ZIP file or an Excel workbook; unpack it, or save it as "CSV UTF-8"')
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise BadFile("the file is empty")
    suffix = path.suffix.lower()
    if suffix in JSON_SUFFIXES or suffix in CSV_SUFFIXES:
        return suffix in CSV_SUFFIXES
    return start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] not in (b"{", b"[")


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
