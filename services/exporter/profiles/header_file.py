"""Reads the header of a receiver's blank file: a CSV file, or the first sheet of a workbook."""

from dataclasses import dataclass

from services.chassis.faults import BadRequest, Violation
from services.exporter.profiles import csv_header, workbook_header
from services.exporter.profiles.header_problem import HeaderProblem

CSV_TYPE = "text/csv"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_BYTES = 1024 * 1024
MAX_COLUMNS, MAX_NAME = 1_000, 500
"""Columns of a header, and characters of a column's name."""


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file, and the format and options with which a file like it is written."""

    columns: tuple[str, ...]
    format: str
    options: dict[str, object]


def read_header(content: bytes, media_type: str) -> Header:
    """The header of a file. Takes at most about a second; blocks: call it in a thread.

    Raises:
        BadRequest: the file cannot be read, or has no usable header; names `content` or `media_type`.
    """
    if len(content) > MAX_BYTES:
        raise BadRequest([Violation("content", f"is larger than {MAX_BYTES:,} bytes")])
    try:
        if media_type == CSV_TYPE:
            found = csv_header.read(content)
            header = Header(found.columns, "csv", {"delimiter": found.delimiter, "utf8_bom": found.has_bom})
        elif media_type == XLSX_TYPE:
            header = Header(workbook_header.read(content), "excel", {})
        else:
            raise BadRequest([Violation("media_type", f"must be {CSV_TYPE} or {XLSX_TYPE}")])
        return Header(_checked(header.columns), header.format, header.options)
    except HeaderProblem as exc:
        raise BadRequest([Violation("content", str(exc))]) from exc


def _checked(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The names without surrounding whitespace and without empty columns at the end.

    Raises:
        HeaderProblem: they are no header.
    """
    names = [name.strip() for name in columns]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise HeaderProblem("has no header: the first row that is not empty names the columns")
    if len(names) > MAX_COLUMNS:
        raise HeaderProblem(f"has {len(names):,} columns, more than {MAX_COLUMNS:,}")
    for number, name in enumerate(names, 1):
        if not name:
            raise HeaderProblem(f"has no name for column {number}; the first row names the columns")
        if len(name) > MAX_NAME:
            raise HeaderProblem(f"has a name of more than {MAX_NAME} characters for column {number}")
    return tuple(names)
