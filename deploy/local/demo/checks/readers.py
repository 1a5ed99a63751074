"""Reads exported files with independent readers: csv, json, zipfile, ElementTree, pyarrow, calamine."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pyarrow.parquet import read_table
from python_calamine import CalamineWorkbook

from deploy.local.demo.checks.rules import Leaves, leaves

BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):
    """The file is not a valid file of its format."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one collection; `columns` is None for formats without a header."""

    columns: list[str] | None
    rows: list[Leaves]


def read_csv(path: Path) -> dict[str, Table]:
    """The products in a CSV file."""
    return {"products": _table(path.read_bytes())}


def read_json(path: Path) -> dict[str, Table]:
    """The products in a JSON file, with exact decimals."""
    documents = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    return {"products": Table(None, [leaves(document) for document in documents])}


def read_xml(path: Path) -> dict[str, Table]:
    """The products in an XML file: texts, lists and objects."""
    root = ElementTree.parse(path).getroot()  # noqa: S314  our own file
    return {"products": Table(None, [leaves(_element(product)) for product in root])}


def read_parquet(path: Path) -> dict[str, Table]:
    """The products in a Parquet file, with its types."""
    table = read_table(path)
    return {"products": Table(table.column_names, table.to_pylist())}


def read_excel(path: Path) -> dict[str, Table]:
    """Every sheet of a workbook."""
    book = CalamineWorkbook.from_path(path)
    return {name: _sheet(book.get_sheet_by_name(name).to_python()) for name in book.sheet_names}


def read_zip(path: Path) -> dict[str, Table]:
    """The products of all parts of an archive."""
    with zipfile.ZipFile(path) as archive:
        parts = [(name, _table(archive.read(name))) for name in archive.namelist()]
    names = [f"products_{number:04}.csv" for number in range(1, len(parts) + 1)]
    if [name for name, _ in parts] != names:
        raise Unreadable(f"holds {', '.join(name for name, _ in parts)} instead of {', '.join(names)}")
    headers = [part.columns for _, part in parts]
    if any(header != headers[0] for header in headers):
        raise Unreadable("its parts have different headers")
    return {"products": Table(headers[0], [row for _, part in parts for row in part.rows])}


READERS: dict[str, Callable[[Path], dict[str, Table]]] = {
    "csv": read_csv,
    "json": read_json,
    "excel": read_excel,
    "xml": read_xml,
    "parquet": read_parquet,
    "zip": read_zip,
}


def read(form: str, path: Path) -> dict[str, Table]:
    """The tables in a file by name.

    Raises:
        Unreadable: the reader rejected the file.
    """
    try:
        return READERS[form](path)
    except Unreadable as exc:
        raise Unreadable(f"{path.name} {exc}") from exc
    except Exception as exc:  # readers raise many types for damaged files
        raise Unreadable(f"{path.name} cannot be read: {exc!r}") from exc


def _element(element: ElementTree.Element) -> Any:
    if len(element) and all(child.tag == "item" for child in element):
        return [_element(child) for child in element]
    return {child.tag: _element(child) for child in element} if len(element) else element.text or ""


def _table(data: bytes) -> Table:
    if not data.startswith(BOM):
        raise Unreadable("does not begin with a byte order mark")
    header, *rows = csv.reader(io.StringIO(data[len(BOM) :].decode(), newline=""), strict=True)
    return _named(header, rows)


def _sheet(cells: list[list[Any]]) -> Table:
    header, *rows = cells
    return _named(header, [[_instant(cell) for cell in row] for row in rows])


def _named(header: list[str], rows: list[list[Any]]) -> Table:
    ragged = next((number for number, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if ragged:
        raise Unreadable(f"has {len(rows[ragged - 1])} cells in row {ragged} and {len(header)} columns")
    return Table(header, [dict(zip(header, row, strict=True)) for row in rows])


def _instant(cell: Any) -> Any:
    """Undo calamine's conversion of midnight to a date."""
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return datetime(cell.year, cell.month, cell.day)
    return cell
