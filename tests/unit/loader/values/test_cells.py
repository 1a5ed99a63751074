"""An unchanged cell changes nothing; a changed one keeps its type."""

from datetime import datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import given

from loader.errors import BadRecord
from loader.values.cells import changed, new, shows
from loader.values.kinds import ColumnTypes, Kind
from loader.values.spelling import ColumnSpelling, IdSpelling
from services.exporter.transcode.values import text
from tests.unit.loader.values.test_json_values import SCALARS

NO_TYPES = ColumnTypes()
OID = "65f2f0a0a0a0a0a0a0a0a0a0"
NINE_THIRTY = datetime(2026, 3, 1, 9, 30)
UUID = Binary(bytes(16), 3)


@given(SCALARS)
def test_a_cell_shows_what_an_export_wrote_with_and_without_the_quote(value: Any) -> None:
    assert shows(text(value), value)
    assert shows(f"'{text(value)}", value) == text(value).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(SCALARS.filter(lambda value: value is not None), SCALARS)
def test_a_changed_cell_has_its_new_value_and_the_old_type_if_possible(old: Any, value: Any) -> None:
    if type(old) is type(value):
        found = changed(text(value), old, NO_TYPES)
        assert shows(text(value), found)
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("52", 52.0),
        ("12.1", Decimal128("12.10")),
        ("4.00638E+12", Int64(4006381333931)),
        ("4.00638E+12", "4006381333931"),
        ("123456789012345000", Int64(123456789012345678)),
        ("12345678905", "0012345678905"),
        ("0.3", 0.1 + 0.2),
        ("9.007199254741E+15", Int64(9007199254741003)),
        ("9007199254741000", Int64(9007199254741003)),
        ("0.333333333", 1 / 3),
        ("0.333333333333333", 1 / 3),
        ("-0.666666667", -2 / 3),
        ("12345678.12", 12345678.1234),
        ("0.1", 0.10000000000001),
        ("0", 5e-324),
        ("7.95960122552261E+017", "795960122552260480"),
        ("1.23E-07", 1.2345671e-07),
        ("2026-03-15T00:00:00Z", "2026-03-15"),
        ("1.23457E-07", 1.234567e-07),
        ("1.234567E-07", Decimal128("1.2345671E-7")),
        ("4E+12", Int64(4000000000001)),
        ("2026-03-15 09:30:00", datetime(2026, 3, 15, 9, 30, 0, 123000)),
        ("2026-03-15T09:30:00Z", datetime(2026, 3, 15, 9, 30, 0, 123000)),
        ("2026-03-15 09:30:00.1", datetime(2026, 3, 15, 9, 30, 0, 123000)),
        ("2026-03-15 09:30:00.123", datetime(2026, 3, 15, 9, 30, 0, 123000)),
        ("2026-01-01 00:00:00", datetime(2025, 12, 31, 23, 59, 59, 999000)),
        ("2026-01-01", datetime(2025, 12, 31, 23, 59, 59, 999000)),
        ("2025-12-31", datetime(2025, 12, 31, 23, 59, 59, 999000)),
        ("2025-12-31 23:59", datetime(2025, 12, 31, 23, 59, 59, 999000)),
        ("9999-12-31 23:59:59", datetime(9999, 12, 31, 23, 59, 59, 999000)),
        ("2026-03-15 09:30", [datetime(2026, 3, 15, 9, 30, 0, 123000)]),
        ("2026-03-15 09:30:00", "2026-03-15T09:30:00Z"),
        ("TRUE", True),
        ("TRUE", "true"),
        ("TRUE", [True]),
        ("x" * 32_767, "x" * 40_000),
        ("a\nb", "a\r\nb"),
        ("", None),
        ("", []),
    ],
)
def test_a_change_that_a_spreadsheet_makes_on_its_own_is_ignored(cell: str, value: Any) -> None:
    assert shows(cell, value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("53", 52.0),
        ("5E+3", 5012),
        ("0.33", 1 / 3),
        ("1234567.89", 1234567.891),
        ("12.35", 12.345),
        ("400638133394", Int64(400638133393)),
        ("9.007199254742E+15", Int64(9007199254741003)),
        ("0.000001", 1.234567e-06),
        ("1e99999999999999999999", 1.5),
        ("2026-03-15 09:30:02", datetime(2026, 3, 15, 9, 30, 0, 123000)),
        ("2026-03-15 09:30:00.122", datetime(2026, 3, 15, 9, 30, 0, 123000)),
        ("2026-03-14", datetime(2026, 3, 15, 9)),
        ("2026-02-30", datetime(2026, 3, 1, 9)),
        ("FALSE", True),
        ("FALSEHOOD", "falsehood"),
        ("x" * 32_766, "x" * 40_000),
        ("a b", "a\nb"),
        ("x", None),
    ],
)
def test_an_edit_is_a_change(cell: str, value: Any) -> None:
    assert not shows(cell, value)


@pytest.mark.parametrize(
    ("cell", "old", "value"),
    [
        ("53", 52.0, 53.0),
        ("12.20", Decimal128("12.10"), Decimal128("12.20")),
        ("12.5", 12, 12.5),
        ("007", "008", "007"),
        ("true", "x", "true"),
        ("FALSE", True, False),
        ("9.1E+15", Int64(9007199254741003), 9_100_000_000_000_000),
        ("2026-03-15 10:00:00.5", datetime(2026, 1, 1), datetime(2026, 3, 15, 10, 0, 0, 500000)),
        ("2026-03-15T10:00:00+01:00", datetime(2026, 1, 1), datetime(2026, 3, 15, 9)),
        (OID, ObjectId(), ObjectId(OID)),
        ("00000000-0000-0000-0000-000000000001", UUID, Binary(bytes(15) + b"\x01", 3)),
        ("1|3", [1, 2], [1, 3]),
        ("a|b", ["a"], ["a", "b"]),
        ('["a|b","c"]', ["a|b"], ["a|b", "c"]),
        ("'=2", "=1", "=2"),
        ("AQ==", Binary(b"\x02", 128), Binary(b"\x01", 128)),
    ],
)
def test_a_changed_cell_keeps_its_type(cell: str, old: Any, value: Any) -> None:
    found = changed(cell, old, NO_TYPES)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("cell", "old", "reason"),
    [
        ("abc", 1, "'abc' is not a number"),
        ("12,5", 1.5, "write 12.5"),
        ("15.03.2026", datetime(2026, 1, 1), "is not a date; write 2026-03-15T09:00:00Z"),
        ("yes", True, "is not true or false"),
        ("9" * 40, Decimal128("1"), "is not a number"),
    ],
)
def test_a_cell_of_another_type_is_refused_with_the_reason(cell: str, old: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        changed(cell, old, NO_TYPES)


@pytest.mark.parametrize(
    ("cell", "kinds", "value"),
    [
        ("5", (Kind.DOUBLE,), 5.0),
        ("5", (Kind.DOUBLE, Kind.INT), 5),
        ("007", (Kind.INT, Kind.TEXT), "007"),
        ("12.5", (Kind.TEXT, Kind.INT), 12.5),
        ("a|b", (Kind.TEXT, Kind.LIST), ["a", "b"]),
        (OID, (Kind.TEXT, Kind.OBJECT_ID), ObjectId(OID)),
        ("20260315", (Kind.DATE, Kind.TEXT), "20260315"),
        ("TRUE", (Kind.BOOL,), True),
        ("TRUE", (Kind.TEXT, Kind.BOOL), True),
        ("TRUE", (Kind.TEXT,), "TRUE"),
        ("a", (Kind.LIST,), ["a"]),
        ("a", (Kind.LIST, Kind.TEXT), ["a"]),
        ("a", (Kind.TEXT, Kind.LIST), "a"),
        ("5", (Kind.LIST, Kind.TEXT), ["5"]),
        ("5", (Kind.LIST, Kind.INT, Kind.TEXT), 5),
    ],
)
def test_a_new_cell_gets_a_type_of_its_column(cell: str, kinds: tuple[Kind, ...], value: Any) -> None:
    found = new(cell, ColumnTypes(kinds, (Kind.TEXT,)))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "12.10"], [1, 2.5, Decimal128("12.10")]),
        (["1", "007"], ["1", "007"]),
        (["1", "x"], ["1", "x"]),
        (["true", "false"], [True, False]),
        (["2026-03-15T09:00:00Z"], [datetime(2026, 3, 15, 9)]),
        (["TRUE", "FALSE"], [True, False]),
        (["TRUE", "x"], ["TRUE", "x"]),
        (["2026-03-01 09:30:00", "2026-03-01T09:30:00.500Z"], [NINE_THIRTY, NINE_THIRTY.replace(microsecond=500000)]),
        (["2026-03-01 09:30", "2026-03-01 09:30:00.000"], [NINE_THIRTY, NINE_THIRTY]),
        (["2026-03-01 09:30:00", "2026-13-01 09:30:00"], ["2026-03-01 09:30:00", "2026-13-01 09:30:00"]),
        (["a|b", "c"], [["a", "b"], ["c"]]),
        (["1|2", "3"], [[1, 2], [3]]),
        (["buy | now", "c"], ["buy | now", "c"]),
        (["a|b", "x" * 300], ["a|b", "x" * 300]),
        (['[{"a":1}]'], [[{"a": 1}]]),
        (["{}"], [{}]),
        (["9" * 19 + "9"], ["9" * 20]),
    ],
)
def test_a_new_column_gets_the_type_that_fits_all_its_cells(cells: list[str], values: list[Any]) -> None:
    spelling = ColumnSpelling()
    for cell in cells:
        spelling.add(cell)
    found = [new(cell, spelling.types) for cell in cells]
    assert [(type(one), one) for one in found] == [(type(value), value) for value in values]


@pytest.mark.parametrize(
    ("ids", "values"),
    [
        (["9", "10"], [9, 10]),
        (["10", "9"], ["10", "9"]),
        (["9", "a", OID], [9, "a", ObjectId(OID)]),
        (["b", "a", "10"], ["b", "a", "10"]),
    ],
)
def test_the_order_of_ids_determines_their_type(ids: list[str], values: list[Any]) -> None:
    spelling = IdSpelling()
    for cell in ids:
        spelling.add(cell)
    assert [new(cell, spelling.types) for cell in ids] == values
