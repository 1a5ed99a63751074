"""The header of a workbook (.xlsx): the first row of its first sheet that is not empty.

A library would load the whole file first: its styles, its strings, all its cells. The file comes from a user and may
have been made to expand to gigabytes, so this reads its parts as streams, each to a limit and no further than needed.
Declarations of a document type, which could define entities, are refused.
"""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Mapping
from xml.parsers import expat

from services.exporter.profiles.header_problem import HeaderProblem

MAX_PART_BYTES = 2 * 1024 * 1024
"""The unpacked bytes that are read of each part of the file. With the shortest elements, they take about a second."""
MAX_COLUMNS = 16_384
"""Of a sheet, as Excel has it."""
CHUNK = 64 * 1024
_BOOK, _RELATIONS, _STRINGS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/sharedStrings.xml"
_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]*")
Attributes = Mapping[str, str]


class _Enough(Exception):
    """What was wanted is found; the rest need not be read."""


class _Part:
    """Handles the elements of a part of the package; names are without their namespace."""

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""

    def text(self, text: str) -> None:
        """Text in an element; one text may come in pieces."""


class _Sheets(_Part):
    """The id of the relationship of the first visible sheet."""

    def __init__(self) -> None:
        self.first = ""

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "sheet" and attributes.get("state", "visible") == "visible":
            self.first = attributes.get("id", "")
            raise _Enough


class _Relations(_Part):
    """The path of the part that a relationship leads to."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self.target = ""

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "Relationship" and attributes.get("Id") == self._wanted:
            self.target = attributes.get("Target", "")
            raise _Enough


class _FirstRow(_Part):
    """The cells of the first row that is not empty, by column: their text, or the number of a shared string."""

    def __init__(self) -> None:
        self.cells: dict[int, str | int] = {}
        self._column = -1
        self._type = ""
        self._text: list[str] | None = None
        self._value = ""

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "row":
            self._column = -1
        elif name == "c":
            self._column = _column(attributes.get("r", ""), self._column + 1)
            self._type, self._value = attributes.get("t", ""), ""
        elif name in ("v", "t"):
            self._text = []

    def text(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, name: str) -> None:
        if name in ("v", "t") and self._text is not None:
            self._value += "".join(self._text)
            self._text = None
        elif name == "c" and self._value:
            self.cells[self._column] = _number(self._value) if self._type == "s" else self._value
        elif name == "row" and self.cells:
            raise _Enough


class _Strings(_Part):
    """The shared strings with the wanted numbers."""

    def __init__(self, wanted: set[int]) -> None:
        self._wanted = wanted
        self._last = max(wanted)
        self._number = -1
        self._is_text = self._is_reading = False
        self.found: dict[int, str] = {}

    def start(self, name: str, attributes: Attributes) -> None:  # noqa: ARG002  as in the base
        if name == "si":
            self._number += 1
            if self._number > self._last:
                raise _Enough
        elif name == "rPh":  # how the text is pronounced
            self._is_reading = True
        elif name == "t":
            self._is_text = not self._is_reading and self._number in self._wanted

    def text(self, text: str) -> None:
        if self._is_text:
            self.found[self._number] = self.found.get(self._number, "") + text

    def end(self, name: str) -> None:
        if name == "t":
            self._is_text = False
        elif name == "rPh":
            self._is_reading = False


def read(content: bytes) -> tuple[str, ...]:
    """The texts of the header, with "" for empty cells between them; none if the sheet is empty.

    Raises:
        HeaderProblem: it is not a workbook.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            return _header(package)
    except expat.ExpatError as exc:
        raise HeaderProblem(f"is damaged: {exc}") from exc
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as exc:
        raise HeaderProblem("is not an Excel workbook (.xlsx), or it is damaged or encrypted") from exc


def _header(package: zipfile.ZipFile) -> tuple[str, ...]:
    sheets = _Sheets()
    _parse(package, _BOOK, sheets)
    relations = _Relations(sheets.first)
    _parse(package, _RELATIONS, relations)
    row = _FirstRow()
    _parse(package, posixpath.normpath(posixpath.join("/xl", relations.target)).lstrip("/"), row)
    shared = {cell for cell in row.cells.values() if isinstance(cell, int)}
    texts: Mapping[int, str] = {}
    if shared:
        strings = _Strings(shared)
        _parse(package, _STRINGS, strings)
        texts = strings.found
    cells = {column: texts.get(cell, "") if isinstance(cell, int) else cell for column, cell in row.cells.items()}
    return tuple(cells.get(column, "") for column in range(max(cells, default=-1) + 1))


def _parse(package: zipfile.ZipFile, name: str, part: _Part) -> None:
    """Read a part until the end, or until it has found enough.

    Raises:
        HeaderProblem: it is missing, too large, or has a document type.
    """
    try:
        info = package.getinfo(name)
    except KeyError as exc:
        raise HeaderProblem("is not an Excel workbook (.xlsx)") from exc
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise HeaderProblem("is packed in a way that workbooks are not")
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: part.start(_local(name), _by_local_name(attributes))
    parser.EndElementHandler = lambda name: part.end(_local(name))
    parser.CharacterDataHandler = part.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    left = MAX_PART_BYTES
    try:
        with package.open(info) as stream:
            while chunk := stream.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise HeaderProblem(f"has more than {MAX_PART_BYTES:,} bytes before its header is complete")
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
    except _Enough:
        pass


def _refuse_doctype(*_: object) -> None:
    raise HeaderProblem("has a document type declaration, which workbooks do not have")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _by_local_name(attributes: Attributes) -> Attributes:
    return {_local(name): value for name, value in attributes.items()}


def _column(reference: str, following: int) -> int:
    """The number of a cell's column, from 0: of its reference such as `B7`, or the one after the last cell."""
    found = _REFERENCE.fullmatch(reference)
    column = following
    if found is not None:
        column = 0
        for letter in found[1]:
            column = column * 26 + ord(letter) - ord("A") + 1
        column -= 1
    if column >= MAX_COLUMNS:
        raise HeaderProblem(f"has a cell beyond the {MAX_COLUMNS:,} columns of a sheet")
    return column


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HeaderProblem("has a cell whose text is not in the workbook")
    return int(text)
