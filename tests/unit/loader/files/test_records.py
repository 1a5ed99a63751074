"""Files are split into records, each with the number of its line."""

import io

import pytest

from loader.errors import BadFile
from loader.files.csv_rows import CsvRows
from loader.files.json_records import json_records
from loader.files.text_file import CHUNK


def json_lines(text: str) -> list[tuple[int, str]]:
    return [(record.line, record.text) for record in json_records(io.StringIO(text, newline=""))]


def test_line_numbers_of_json_lines_include_blank_lines() -> None:
    assert json_lines('\n{"a":1}\r\n\n{"b":2}') == [(2, '{"a":1}'), (4, '{"b":2}')]


def test_elements_of_an_array_have_the_number_of_their_first_line() -> None:
    text = '[\n  {"a": "x,]\\"}",\n   "b": [1]},\n  {"c": 2}\n]\n'
    assert json_lines(text) == [(2, '{"a": "x,]\\"}",\n   "b": [1]}'), (4, '{"c": 2}')]
    assert json_lines("[]") == []


def test_an_element_may_span_two_chunks() -> None:
    for pad in range(CHUNK - 8, CHUNK + 2):
        long = '{"a":"' + "x" * pad + '\\"y"}'
        assert json_lines(f"[{long},{long}]") == [(1, long), (1, long)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1},\n', "truncated; its last element begins on line 1"),
        ("[1] x", "text after the end"),
        ('{\n "a": 1\n}', "one object over several lines"),
    ],
)
def test_a_file_that_is_not_a_sequence_of_documents_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadFile, match=reason):
        json_lines(text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(delimiter: str) -> None:
    rows = CsvRows(io.StringIO(f"id{delimiter}x\r\n1{delimiter}2\r\n", newline=""))
    assert (rows.header, [row.cells for row in rows]) == (("id", "x"), [("1", "2")])


def test_rows_have_the_number_of_their_first_line_and_bad_rows_do_not_end_the_file() -> None:
    text = 'id,name\r\n1,"a\r\nb"\r\n,\r\n2\r\n3,"x"y\r\n4,d,e\r\n5,f,\r\n'
    rows = [(row.line, row.cells, row.problem) for row in CsvRows(io.StringIO(text, newline=""))]
    assert [(line, cells) for line, cells, problem in rows if not problem] == [(2, ("1", "a\r\nb")), (8, ("5", "f"))]
    assert [(line, problem[:9]) for line, _, problem in rows if problem] == [
        (5, "1 cells, "),
        (6, "not CSV: "),
        (7, "3 cells, "),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,a,a\n", "names a more than once"),
        (",,\n", "no header"),
        ('id,name\n1,"x\n2,y\n', "a quote on line 2 or after it never ends"),
        ('id,"name\n1,x\n', "header|quote"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadFile, match=reason):
        list(CsvRows(io.StringIO(text, newline="")))
