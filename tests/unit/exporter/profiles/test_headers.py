"""Headers of files as receivers send them, and of files that were made to do harm."""

import io
import time
import zipfile

import openpyxl
import pytest

from services.chassis.faults import BadRequest
from services.exporter.profiles.header_file import CSV_TYPE, MAX_BYTES, XLSX_TYPE, read_header
from services.exporter.profiles.workbook_header import MAX_PART_BYTES

SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
ROW = b"<worksheet xmlns='m'><sheetData><row>%b</row></sheetData></worksheet>"


def problem(content: bytes, media_type: str) -> str:
    with pytest.raises(BadRequest) as raised:
        read_header(content, media_type)
    return raised.value.violations[0].message


@pytest.mark.parametrize(
    ("content", "columns", "delimiter", "has_bom"),
    [
        (b"sku,name,price\r\n", ("sku", "name", "price"), ",", False),
        (b"sku;name;price", ("sku", "name", "price"), ";", False),
        (b"sku\tname\n1\t2\n", ("sku", "name"), "\t", False),
        (b"sku|name|a,b\n", ("sku", "name", "a,b"), "|", False),
        (b'"a;b","c;d","e"\n', ("a;b", "c;d", "e"), ",", False),
        (b'"say ""hi""";"two\nlines"\n', ('say "hi"', "two\nlines"), ";", False),
        (b"\xef\xbb\xbfsku;Gr\xc3\xb6\xc3\x9fe\n", ("sku", "Größe"), ";", True),
        ("sku;Größe".encode("cp1252"), ("sku", "Größe"), ";", False),
        ("sku\tGröße\n".encode("utf-16"), ("sku", "Größe"), "\t", False),
        (b"sep=;\r\nsku,net;price\r\n", ("sku,net", "price"), ";", False),
        (b"\n\nsku,name,,\n", ("sku", "name"), ",", False),
        (b" sku , name ", ("sku", "name"), ",", False),
        (b"sku", ("sku",), ",", False),
    ],
)
def test_the_header_of_a_csv_file(content: bytes, columns: tuple[str, ...], delimiter: str, has_bom: bool) -> None:
    found = read_header(content, CSV_TYPE)
    assert (found.columns, found.format) == (columns, "csv")
    assert found.options == {"delimiter": delimiter, "utf8_bom": has_bom}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no header"),
        (b"\n,,\n", "no header"),
        (b"sku,,price", "no name for column 2"),
        (b"a," * 1_001 + b"b", "more than 1,000"),
        (b"x" * 501, "more than 500 characters for column 1"),
        (b"\0\1\2", "not text"),
        (b'"sku', "not CSV"),
        (b"x" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_header_of_a_csv_file_says_why(content: bytes, words: str) -> None:
    assert words in problem(content, CSV_TYPE)


def workbook(*rows: list[object]) -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(content: bytes, members: dict[str, bytes]) -> bytes:
    """A workbook with these members, in place of its own or beside them."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
        for name, value in ({name: old.read(name) for name in old.namelist()} | members).items():
            package.writestr(name, value)
    return made.getvalue()


def with_sheet(sheet: bytes) -> bytes:
    """A workbook with this sheet and one shared string."""
    return changed(workbook(["x"]), {SHEET: sheet, STRINGS: b"<sst xmlns='m'><si><t>shared</t></si></sst>"})


def test_the_header_of_a_workbook_is_the_first_row_that_is_not_empty() -> None:
    content = workbook([], [None, None], ["sku", "Größe & <Farbe>", 2026, "net\nprice", None], ["1", "2"])
    found = read_header(content, XLSX_TYPE)
    assert found.columns == ("sku", "Größe & <Farbe>", "2026", "net\nprice")
    assert (found.format, found.options) == ("excel", {})
    assert "no name for column 2" in problem(workbook(["sku", None, "price"]), XLSX_TYPE)
    assert "no header" in problem(workbook(), XLSX_TYPE)


def test_the_first_visible_sheet_counts() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["hidden"])
    book.create_sheet("Data").append(["shown", "second"])
    book.active.sheet_state = "hidden"
    assert read_header(saved(book), XLSX_TYPE).columns == ("shown", "second")


def test_shared_strings_are_read_with_all_their_parts() -> None:
    cells = b"<c r='A1' t='s'><v>2</v></c><c r='C1' t='s'><v>0</v></c><c r='B1' t='s'><v>2</v></c>"
    strings = (
        b"<sst xmlns='m'><si><t>last</t></si><si><t>other</t></si><si><r><t>fir</t></r><r><rPr/><t>st</t></r>"
        b"<rPh><t>x</t></rPh></si><si><t>other</t></si></sst>"
    )
    content = changed(with_sheet(ROW % cells), {STRINGS: strings})
    assert read_header(content, XLSX_TYPE).columns == ("first", "first", "last")


def test_inline_strings_and_cells_without_references_are_read() -> None:
    sheet = (
        b'<x:worksheet xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"><x:sheetData><x:row><x:c t="inlineStr">'
        b"<x:is><x:t>sku</x:t></x:is></x:c><x:c t='str'><x:f>1</x:f><x:v>name</x:v></x:c></x:row></x:sheetData>"
        b"</x:worksheet>"
    )
    content = with_sheet(sheet)
    assert read_header(content, XLSX_TYPE).columns == ("sku", "name")


ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + ROW % b"<c t='str'><v>&b;</v></c>"


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        (ENTITIES, "document type"),
        (ENTITIES.decode().encode("utf-16"), "document type"),
        (b"<row>" + b" " * (MAX_PART_BYTES + 1), "more than"),
        (ROW % (b"<c/>" * 20_000), "beyond the 16,384 columns"),
        (ROW % b"<c r='ZZZ1' t='str'><v>x</v></c>", "beyond the 16,384 columns"),
        (ROW % b"<c t='s'><v>99999999999</v></c>", "not in the workbook"),
        (ROW % b"<c t='s'><v>-1</v></c>", "not in the workbook"),
        (ROW % b"<c t='s'><v>9</v></c>", "no header"),
        (b"<row><c>", "damaged"),
        (b"\0", "damaged"),
        (b"", "damaged"),
    ],
)
def test_a_sheet_that_was_made_to_do_harm_is_refused(sheet: bytes, words: str) -> None:
    assert words in problem(with_sheet(sheet), XLSX_TYPE)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", STRINGS])
def test_every_part_is_read_with_the_same_limits(part: str) -> None:
    content = changed(with_sheet(ROW % b"<c t='s'><v>0</v></c>"), {part: ENTITIES})
    assert "document type" in problem(content, XLSX_TYPE)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"sku,name", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_workbook_is_refused(content: bytes) -> None:
    assert "not an Excel workbook" in problem(content, XLSX_TYPE)


def test_a_damaged_workbook_is_refused_wherever_the_damage_is() -> None:
    content = workbook(["sku", "name"])
    for at in range(0, len(content), 37):
        damaged = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        try:
            read_header(damaged, XLSX_TYPE)
        except BadRequest:
            continue


def test_a_workbook_that_expands_to_gigabytes_is_refused_at_once() -> None:
    expanding = b"<worksheet xmlns='m'><sheetData>" + b"<row/>" * 20_000_000  # 120 MB, packed to little
    content = with_sheet(expanding)
    assert len(content) < MAX_BYTES
    started = time.monotonic()
    assert "more than" in problem(content, XLSX_TYPE)
    assert time.monotonic() - started < 10


def test_another_media_type_is_refused() -> None:
    assert "text/csv" in problem(b"sku", "text/plain")
