"""Reads exported files with other libraries: csv, json, zipfile, openpyxl, calamine, lxml, pyarrow, duckdb.

One reader per format.
"""

import csv
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb
import openpyxl
import pyarrow.parquet
import pytest
from lxml import etree
from python_calamine import CalamineWorkbook

from tests.contract.formats import rules

Table = list[list[Any]]
Records = dict[str, list[dict[str, Any]]]

csv.field_size_limit(1 << 24)


def csv_table(file: bytes, options: Any) -> Table:
    """The cells of a CSV file, header first; fails on a wrong byte order mark, line ending or blank line."""
    assert file.startswith(b"\xef\xbb\xbf") is options.utf8_bom
    text = file.decode("utf-8-sig" if options.utf8_bom else "utf-8")
    assert text.endswith("\r\n")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=options.delimiter, strict=True))
    assert [] not in rows
    return rows


def zip_tables(file: bytes, options: Any) -> dict[str, Table]:
    """The tables of a ZIP archive by file name; fails on a damaged archive."""
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        return {name: csv_table(archive.read(name), options) for name in archive.namelist()}


def json_texts(file: bytes, options: Any) -> list[str]:
    """The texts of the documents in a JSON file, or of its lines; a JSON array is split by the json module."""
    text = file.decode()
    if options.json_lines:
        assert text == "" or text.endswith("\n")
        return text.split("\n")[:-1]
    separators = None if options.pretty else (",", ":")
    assert text.rstrip("\n") == relaid(text, 2 if options.pretty else None, separators)
    return [relaid(text, None, (",", ":"), at) for at in range(len(json.loads(text)))]


def relaid(text: str, indent: int | None, separators: tuple[str, str] | None, at: int | None = None) -> str:
    """JSON text, or an element of its array, formatted by the json module; numbers keep their characters."""
    # A surrogate, which no text contains, marks numbers.
    loaded = json.loads(text, parse_int="\ud800{}".format, parse_float="\ud800{}".format)
    written = json.dumps(loaded if at is None else loaded[at], indent=indent, separators=separators, ensure_ascii=False)
    return re.sub('"\ud800([^"]*)"', r"\1", written)


def openpyxl_tables(file: bytes) -> dict[str, Table]:
    """The cells of a workbook by sheet; openpyxl does not decode escapes in text."""
    book = openpyxl.load_workbook(io.BytesIO(file))
    return {
        sheet.title: [[unescaped(cell.value) for cell in row] for row in sheet.iter_rows()] for sheet in book.worksheets
    }


def calamine_tables(file: bytes) -> dict[str, Table]:
    """The same with another reader, which returns midnight as a date."""
    book = CalamineWorkbook.from_filelike(io.BytesIO(file))
    return {
        name: [
            [midnight(value) for value in row] for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        ]
        for name in book.sheet_names
    }


def midnight(value: Any) -> Any:
    is_date = isinstance(value, date) and not isinstance(value, datetime)
    return datetime(value.year, value.month, value.day) if is_date else value


def unescaped(value: Any) -> Any:
    """A text with its _xHHHH_ decoded as in Excel (ECMA-376 part 1, 22.9.2.19)."""
    if not isinstance(value, str):
        return value
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found.group(1), 16)), value)


def plain_name(name: str) -> str:
    """The key that the name of an element or attribute stands for; as .NET's XmlConvert.DecodeName, and `_x_` is ''."""
    if name == "_x_":
        return ""
    return re.sub("_x([0-9A-F]{8}|[0-9A-F]{4})_", lambda found: chr(int(found.group(1), 16)), name)


@dataclass(frozen=True)
class Element:
    """An XML element: the key and the text of each attribute, then its text, or its children with their keys."""

    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    children: tuple[tuple[str, "Element"], ...] = ()


def xml_elements(file: bytes) -> list[Element]:
    """The elements of the products in an XML file without namespaces."""
    root = etree.fromstring(file, etree.XMLParser(huge_tree=True, resolve_entities=False))
    assert file.count(b"\n") >= len(root) + 3
    return [as_element(child) for child in root]


def as_element(found: Any) -> Element:
    attributes = tuple((plain_name(name), text) for name, text in found.attrib.items())
    assert not len(found) or not found.text
    children = tuple((plain_name(child.tag), as_element(child)) for child in found)
    assert all(child.tail is None for child in found)
    return Element(attributes, found.text or "", children)


# The records of every format by sheet: non-empty values by dotted name, in file order.


def records(table: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    header, *rows = table
    return [{n: v for n, v in zip(header, row, strict=True) if v not in ("", None)} for row in rows]


def read_csv(file: bytes, options: Any) -> Records:
    return {"products": records(csv_table(file, options))}


def read_zip(file: bytes, options: Any) -> Records:
    tables = zip_tables(file, options)
    assert list(tables) == [f"products_{number:04}.csv" for number in range(1, len(tables) + 1)]
    return {"products": [record for table in tables.values() for record in records(table)]}


def read_json(file: bytes, options: Any) -> Records:
    documents = [json.loads(text) for text in json_texts(file, options)]
    flat = [{rules.dotted(path): value for path, value in rules.paths(document).items()} for document in documents]
    return {"products": flat}


def read_excel(file: bytes, options: Any) -> Records:
    tables, again = openpyxl_tables(file), calamine_tables(file)
    assert {name: records(table) for name, table in again.items()} == {n: records(t) for n, t in tables.items()}
    found: Records = {}
    for name, table in tables.items():
        found.setdefault(re.sub(r" \(\d+\)$", "", name), []).extend(records(table))
    assert tuple(found) == options.include_sheets
    return found


def read_xml(file: bytes, options: Any) -> Records:
    def values(element: Element) -> dict[str, Any]:
        return {key: values(child) if child.children else child.text for key, child in element.children}

    flat = [{rules.dotted(path): v for path, v in rules.paths(values(one)).items()} for one in xml_elements(file)]
    return {"products": flat}


def parquet_table(file: bytes) -> Any:
    """The table of a Parquet file."""
    return pyarrow.parquet.read_table(io.BytesIO(file))


def duckdb_rows(file: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file by another reader."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as stored:
        stored.write(file)
        stored.flush()
        with duckdb.connect(config={"threads": 1}) as database:
            found = database.sql("SELECT * FROM read_parquet(?)", params=[stored.name]).to_arrow_table()
            rows: list[dict[str, Any]] = found.to_pylist()
            return rows


def read_parquet(file: bytes, options: Any) -> Records:
    table = parquet_table(file)
    return {"products": records([table.column_names, *zip(*table.to_pydict().values(), strict=True)])}


READERS: dict[str, Callable[[bytes, Any], Records]] = {
    "csv": read_csv,
    "excel": read_excel,
    "json": read_json,
    "parquet": read_parquet,
    "xml": read_xml,
    "zip": read_zip,
}


def read(form: str, file: bytes, options: Any) -> Records:
    """The records of a file."""
    if form not in READERS:
        pytest.fail(f"the format {form!r} has no reader: add one to READERS in tests/contract/formats/readers.py")
    return READERS[form](file, options)
