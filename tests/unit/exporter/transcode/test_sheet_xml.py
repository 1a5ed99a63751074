"""Cells of a worksheet as XML."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from openpyxl.utils import get_column_letter

from services.exporter.transcode.sheet_xml import (
    HAS_MILLIS,
    HAS_MONEY,
    HAS_OTHERS,
    Cells,
    column_letters,
    cut_text,
    escaped_text,
    styles_of,
)
from tests.contract.formats.readers import unescaped

STYLE = 2


def cell(value: Any) -> ElementTree.Element:
    """The only cell of a row, as parsed from XML."""
    [found] = ElementTree.fromstring(Cells(STYLE, 4).row([value], ["A"], 7))
    assert found.get("r") == "A7"
    return found


def text_of(value: Any) -> str:
    """The text of a text cell; fails for other cells."""
    found = cell(value)
    assert found.get("t") == "inlineStr"
    return str(unescaped(found.findtext("is/t")))


def number_of(value: Any) -> str:
    """The characters of a number; fails for other cells."""
    found = cell(value)
    assert found.get("t") is None
    return found.findtext("v") or ""


@pytest.mark.parametrize("number", [1, 26, 27, 52, 53, 702, 703, 16_384])
def test_column_letters_are_those_of_openpyxl(number: int) -> None:
    assert column_letters(number) == get_column_letter(number)


@pytest.mark.parametrize("empty", [None, "", [], [""], [None], Binary(b"")])
def test_an_empty_value_has_no_cell_and_the_others_keep_their_columns(empty: Any) -> None:
    row = ElementTree.fromstring(Cells(STYLE, 4).row([empty, 1, empty, "x"], ["A", "B", "C", "D"], 3))
    assert row.get("r") == "3"
    assert [found.get("r") for found in row] == ["B3", "D3"]


@pytest.mark.parametrize(
    ("values", "content"),
    [
        ([Decimal128("12.10"), None, "", Decimal128("1E+3"), Decimal128("0.0000"), Decimal128("-1.5000")], HAS_MONEY),
        ([Decimal128("12.10"), Decimal128("12.345")], HAS_MONEY | HAS_OTHERS),
        ([Decimal128("1E+15")], HAS_OTHERS),
        ([Decimal128("NaN")], HAS_OTHERS),
        ([1, 2.5, "x", True, datetime(2026, 3, 15)], HAS_OTHERS),
        ([datetime(2026, 3, 15), datetime(2026, 3, 15, 0, 0, 0, 1000)], HAS_OTHERS | HAS_MILLIS),
        ([None, "", []], 0),
    ],
)
def test_the_contents_of_a_column_determine_its_formats(values: list[Any], content: int) -> None:
    cells = Cells(STYLE, 2)
    for number, value in enumerate(values, 2):
        cells.row([None, value], ["A", "B"], number)
    assert cells.contents == [0, content]


def test_every_column_has_a_style_for_dates_and_one_for_decimals() -> None:
    row = [datetime(2026, 3, 15), Decimal128("1.5"), 1.5, datetime(2026, 3, 15)]
    found = ElementTree.fromstring(Cells(STYLE, 4).row(row, ["A", "B", "C", "D"], 2))
    assert [each.get("s") for each in found] == ["2", "5", None, "8"]
    assert styles_of(2, 16_383) == styles_of(2, 16_000) == (32_002, 32_003)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (-5, -5),
        (Int64(999_999_999_999_999), 999_999_999_999_999),
        (52.0, 52),
        (1e-07, 1e-07),
        (-0.0, 0),
        (0.1 + 0.2, 0.1 + 0.2),
        (2.3e-308, 2.3e-308),
        (1.7976931348623157e308, 1.7976931348623157e308),
        (Decimal128("12.10"), 12.1),
        (Decimal128("1E+3"), 1000),
        (Decimal128("1E+300"), 1e300),
        (Decimal128("0E-6176"), 0),
        (Decimal128("-0"), 0),
        (Decimal128("123456789012345"), 123_456_789_012_345),
        (Decimal128("1.50000000000000000000000000000000"), 1.5),
    ],
)
def test_numbers_are_numbers(value: Any, number: float) -> None:
    assert float(number_of(value)) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Int64(1_000_000_000_000_000), "1000000000000000"),
        (Int64(-1_000_000_000_000_000), "-1000000000000000"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (5e-324, "5e-324"),
        (Decimal128("1234567890123456"), "1234567890123456"),
        (Decimal128("1.000000000000000000000000000000001"), "1.000000000000000000000000000000001"),
        (Decimal128("1E+400"), "1E+400"),
        (Decimal128("1E-400"), "1E-400"),
        (Decimal128("1E-310"), "1E-310"),
        (Decimal128("NaN"), "NaN"),
        (Decimal128("-Infinity"), "-Infinity"),
        (datetime(1900, 2, 28, 23, 59, 59), "1900-02-28T23:59:59Z"),
        (DatetimeMS(253_402_300_800_000), "+010000-01-01T00:00:00Z"),
        (ObjectId("65f2f0a0a0a0a0a0a0a0a0a0"), "65f2f0a0a0a0a0a0a0a0a0a0"),
        (Binary(b"abc"), "YWJj"),
        (Regex("a"), "/a/"),
        ({}, "{}"),
        ([True, 1, None], "true|1|"),
        ([{"a": True}], '[{"a":true}]'),
    ],
)
def test_values_that_excel_cannot_hold_exactly_are_text(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "0012345678905", "1e5", "true", "2026-03-15", " lead", "trail ", "a  b", "\n"]
)
def test_text_keeps_every_space(text: str) -> None:
    assert text_of(text) == text
    if text != text.strip() or "  " in text:
        assert 'xml:space="preserve"' in Cells(STYLE, 4).row([text], ["A"], 1)


def test_booleans_are_booleans() -> None:
    assert [(cell(value).get("t"), cell(value).findtext("v")) for value in (True, False)] == [("b", "1"), ("b", "0")]


@pytest.mark.parametrize(
    "at",
    [
        datetime(1900, 3, 1),
        datetime(1969, 12, 31, 23, 59, 59, 999_000),
        datetime(2026, 3, 15, 9, 0, 0, 120_000),
        datetime(2026, 10, 25, 0, 59, 59, 1_000),
        datetime(9999, 12, 31, 23, 59, 59, 999_000),
    ],
)
def test_dates_are_serial_numbers_with_milliseconds_in_the_date_style(at: datetime) -> None:
    assert cell(at).get("s") == str(STYLE)
    milliseconds = (
        Decimal(number_of(at)) - (datetime(at.year, at.month, at.day) - datetime(1899, 12, 30)).days
    ) * 86_400_000
    since_midnight = ((at.hour * 60 + at.minute) * 60 + at.second) * 1000 + at.microsecond // 1000
    assert round(milliseconds) == since_midnight
    assert abs(milliseconds - since_midnight) < Decimal("0.05")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\rb", "a_x000D_b"),
        ("\x00\x0b\x1f\ufffe\uffff", "_x0000__x000B__x001F__xFFFE__xFFFF_"),
        ("\t\n\x7f\x85\u2028", "\t\n\x7f\x85\u2028"),
        ("_x000D_", "_x005F_x000D_"),
        ("_x00ab_", "_x005F_x00ab_"),
        ("_x005F_", "_x005F_x005F_"),
        ("_x0041_x0042_", "_x005F_x0041_x005F_x0042_"),
        ("_x0041\r", "_x005F_x0041_x000D_"),
        ("_x41_ _X0041_ _x0041", "_x41_ _X0041_ _x0041"),
        ("a<b&c>d", "a&lt;b&amp;c&gt;d"),
    ],
)
def test_characters_that_xml_forbids_are_escaped_like_in_excel(text: str, escaped: str) -> None:
    assert escaped_text(text) == escaped
    assert text_of(text) == text


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("x" * 32_767, 32_767),
        ("x" * 32_768, 32_767),
        ("🎉" * 16_383 + "x", 16_384),
        ("🎉" * 16_384, 16_383),
        ("x" + "🎉" * 16_383, 16_384),
        ("\x00" * 32_767, 32_767),
    ],
)
def test_text_is_truncated_at_the_limit_of_a_cell_but_never_within_a_character(text: str, length: int) -> None:
    assert cut_text(text) == text[:length]
    cells = Cells(STYLE, 4)
    cells.row([text, [text], "short"], ["A", "B", "C"], 1)
    assert cells.cut == (2 if len(text) > length else 0)


def test_names_are_truncated_and_counted_like_text() -> None:
    cells = Cells(STYLE, 4)
    heading = ElementTree.fromstring(cells.heading(["a", "A", "x" * 40_000], ["A", "B", "C"], ' s="1"'))
    assert [found.get("s") for found in heading] == ["1", "1", "1"]
    assert [len(found.findtext("is/t") or "") for found in heading] == [1, 1, 32_767]
    assert cells.cut == 1
