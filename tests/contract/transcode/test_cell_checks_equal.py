"""What receivers refuse is the same for the compiled transcoders and the Python ones, and is what the rules say."""

from typing import Any

import bson
import pytest
from bson import Decimal128, Int64

from services.exporter.catalogue.columns import selection_of
from services.exporter.catalogue.output_columns import CellCheck, CheckedKind
from services.exporter.transcode import Tally
from services.exporter.transcode.cell_checks import refusal
from tests.contract.transcode.columns import columns_of
from tests.contract.transcode.test_columns_equal import compiled, csv, same

PRICE = CellCheck(kind=CheckedKind.PRICE, currencies=("CHF", "EUR", "USD"))
GTIN = CellCheck(kind=CheckedKind.GTIN, reserved_prefixes=("02", "04", "05", "2", "981", "99"))
LINK = CellCheck(kind=CheckedKind.LINK, max_length=40)
CASES: list[tuple[CellCheck, Any, str | None]] = [
    (CellCheck(required=True), None, "missing_value"),
    (CellCheck(required=True), "", "missing_value"),
    (CellCheck(), None, None),
    (CellCheck(), ["a", "b"], "not_text"),
    (CellCheck(), {"a": 1}, "not_text"),
    (CellCheck(values=("new", "used")), "used", None),
    (CellCheck(values=("new", "used")), "use", "not_allowed"),
    (CellCheck(values=("new", "used")), "Used", "not_allowed"),
    (CellCheck(values=("true", "12")), True, None),
    (CellCheck(values=("true", "12")), Int64(12), None),
    (CellCheck(values=("true", "12")), 12.5, "not_allowed"),
    (CellCheck(max_length=3), "été", None),
    (CellCheck(max_length=3), "étés", "too_long"),
    (CellCheck(max_length=3), "\U0001f389\U0001f389\U0001f389", None),
    (CellCheck(max_length=3), 1234, "too_long"),
    *((PRICE, text, None) for text in ("15 EUR", "15.00 EUR", "0.5 CHF", "007.1 USD")),
    *(
        (PRICE, text, "invalid_price")
        for text in (
            "15",
            "15,00 EUR",
            "15.00EUR",
            "15.00  EUR",
            "EUR 15.00",
            "15. EUR",
            ".5 EUR",
            "-1 EUR",
            "15.00 eur",
        )
    ),
    *(
        (PRICE, text, "invalid_price")
        for text in ("15.00 XYZ", "15.00 EUR ", "1 234.00 EUR", "١٥ EUR", 15, Decimal128("1.5"))
    ),
    *(
        (GTIN, text, None)
        for text in ("4006381333931", "036000291452", "96385074", "10012345678902", "4-006381 333931")
    ),
    (GTIN, 4006381333931, None),
    (GTIN, 36000291452, "invalid_gtin"),  # a number has no zero before it
    *(
        (GTIN, text, "invalid_gtin")
        for text in ("4006381333932", "400638133393", "123", "-", "400638133393x", "٤٠٠٦٣٨١٣٣٣٩٣١")
    ),
    *((GTIN, text, "invalid_gtin") for text in ("2000000000008", "9810000000007", "1" * 40)),
    *((LINK, text, None) for text in ("https://a.example/été?x=1", "http://a")),
    *(
        (LINK, text, "invalid_link")
        for text in ("http://", "https://a b", "ftp://a", "HTTP://a", "http:/a", "/a", "https", "http")
    ),
    (LINK, "https://" + 40 * "a", "too_long"),
]


@pytest.mark.parametrize(("check", "value", "reason"), CASES)
def test_a_cell_is_refused_for_the_reason_that_the_rules_say(check: CellCheck, value: Any, reason: str | None) -> None:
    assert refusal(check, None if value == "" else value) == reason
    wanted = [{"header": "x", "field": "x"}, {"header": "id", "field": "id"}]
    batches = [b"".join(bson.encode({"_id": n, "x": value}) for n in range(90))] * 3  # listed, then counted
    same(wanted, batches, accepted=({"x": check}, ()))
    tally = Tally()
    encode = csv(compiled, selection_of(columns_of(wanted, {"x": check})), tally)
    for batch in batches:
        encode(batch)
    assert dict(tally.findings.counts) == ({("x", reason): 270} if reason else {})
    assert len(tally.findings.listed) == (100 if reason else 0)


def test_a_row_needs_a_value_in_one_column_of_each_group() -> None:
    wanted = [{"header": name, "field": name} for name in ("brand", "gtin", "mpn")]
    stored = [{"_id": n, **({("brand", "gtin", "mpn")[n % 4]: "x"} if n % 4 < 3 else {})} for n in range(800)]
    batches = [b"".join(map(bson.encode, stored[at : at + 100])) for at in range(0, 800, 100)]
    accepted = ({"mpn": CellCheck(max_length=5)}, (("gtin", "brand"), ("mpn", "brand", "gtin")))
    same(wanted, batches, accepted=accepted)
    tally = Tally()
    encode = csv(compiled, selection_of(columns_of(wanted, *accepted)), tally)
    for batch in batches:
        encode(batch)
    # Both groups begin with the first of their columns in the file.
    assert dict(tally.findings.counts) == {("brand", "missing_value"): 400 + 200}


def test_rows_that_a_receiver_accepts_are_not_left_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["id", "price", "gtin", "link", "name"]
    checks = {"id": CellCheck(required=True, max_length=5), "price": PRICE, "gtin": GTIN, "link": LINK}
    batch = bson.encode({"_id": 7, "price": "1.5 EUR", "gtin": 4006381333931, "link": "http://a", "name": "x"})
    encode = csv(compiled, selection_of(columns_of(wanted, checks)), Tally())
    first = encode(batch)  # the reference decides on new names

    def refuse(*_: Any) -> None:
        raise AssertionError("left to the reference")

    monkeypatch.setattr(compiled.reference.CsvRows, "encode", refuse)
    assert encode(batch) == first
