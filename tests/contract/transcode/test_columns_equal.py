"""The compiled transcoders make the same cells as the Python ones, for any columns and any batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from types import ModuleType
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from services.exporter.catalogue.columns import Selection, selection_of
from services.exporter.catalogue.output_columns import CellCheck
from services.exporter.formats.column_options import name_problem
from services.exporter.transcode import Tally, reference
from services.exporter.transcode.elements import Layout
from services.exporter.transcode.values import documents, escaped, leaves
from tests.contract.transcode.columns import checks_of, columns_of, specs
from tests.contract.transcode.raw_documents import BATCHES

compiled = pytest.importorskip("services.exporter.transcode.compiled", reason="the transcoders are not compiled here")

Encode = Callable[[bytes], Any]


def csv(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    rows = implementation.CsvRows("p", selection.header(()), selection, tally, delimiter=",", escape_formulas=True)
    return rows.encode  # type: ignore[no-any-return]  # the module has no types


def plain_csv(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    rows = implementation.CsvRows("p", selection.header(()), selection, tally, delimiter=";", escape_formulas=False)
    return rows.encode  # type: ignore[no-any-return]  # the same


def json(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    return implementation.FlatObjects("p", selection, tally, newline=None, ending="\n").encode  # type: ignore[no-any-return]  # the same


def pretty_json(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    objects = implementation.FlatObjects("p", selection, tally, newline="\n  ", ending=",", quote_decimals=True)
    return objects.encode  # type: ignore[no-any-return]  # the same


def xml(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    rows = implementation.SheetRows("p", selection.header(()), selection, tally, first_style=2)
    return lambda batch: (rows.encode(batch, 2), rows.longest(), rows.contents())


def elements(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    layout = Layout("p", cdata=frozenset(map(escaped, selection.header(())[:1])))
    return implementation.XmlElements("p", selection, tally, layout=layout).encode  # type: ignore[no-any-return]  # the same


def attributes(implementation: ModuleType, selection: Selection, tally: Tally) -> Encode:
    layout = Layout("p", attributes=True, cdata=frozenset(map(escaped, selection.header(())[:1])))
    return implementation.XmlElements("p", selection, tally, layout=layout).encode  # type: ignore[no-any-return]  # the same


KINDS = (csv, plain_csv, json, pretty_json, xml, elements, attributes)


def outcome(
    implementation: ModuleType, make: Callable[..., Encode], selection: Selection, batches: Sequence[bytes]
) -> list[Any]:
    """The bytes or the error of each batch, and what was found about rows."""
    found: list[Any] = []
    tally = Tally()
    encode = make(implementation, selection, tally)
    for batch in [*batches, *batches]:  # in the second round every key is known
        try:
            found.append(encode(batch))
        except Exception as exc:  # the file is discarded, and what was counted with it
            return [*found, (type(exc), str(exc))]
    findings = tally.findings
    return [*found, set(map(astuple, findings.listed)), dict(findings.counts), sorted(tally.seen["p"].items())]


def same(
    given_columns: Sequence[Any],
    batches: Sequence[bytes],
    kinds: Sequence[Callable[..., Encode]] = KINDS,
    accepted: tuple[Mapping[str, CellCheck], Sequence[Sequence[str]]] = ({}, ()),
) -> None:
    """Fails if the two implementations differ."""
    selection = selection_of(columns_of(given_columns, *accepted))
    for make in kinds:
        assert outcome(compiled, make, selection, batches) == outcome(reference, make, selection, batches)


def check(batches: list[bytes], data: st.DataObject, kinds: Sequence[Callable[..., Encode]] = KINDS) -> None:
    names = {name for batch in batches for document in documents(batch) for name, _ in leaves(document)}
    parents = {name.rpartition(".")[0] for name in names}
    usable = sorted(n for n in names | parents if n and len(n) <= 1024 and not name_problem(n))
    columns = data.draw(specs([*usable, "id", "_id"]))
    same(columns, batches, kinds, data.draw(checks_of(columns)))


@given(batches=BATCHES, data=st.data())
def test_cells_are_the_same(batches: list[bytes], data: st.DataObject) -> None:
    check(batches, data)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))  # 20,000 in all, on as many processes as there are
@settings(max_examples=5_000)
@given(batches=BATCHES, data=st.data())
def test_cells_are_the_same_in_many_examples(part: int, batches: list[bytes], data: st.DataObject) -> None:
    check(batches, data, [data.draw(st.sampled_from(KINDS))])


NUMBERS: list[Any] = [
    *(
        0,
        -1,
        12,
        1_234_567,
        Int64(2**63 - 1),
        Int64(-(2**63)),
        -0.0,
        0.005,
        1.005,
        2.5,
        1e22,
        123456789.125,
        -9.995,
        5e-324,
    ),
    *(1.7976931348623157e308, float("nan"), float("inf"), 1e-7, 99.5, 0.1 + 0.2, True, None, ""),
    *map(Decimal128, ["1.20", "0E-10", "-0", "1E+3", "9.9999", "NaN", "-12.345", "1E-400", "0.50"]),
    *("12.50", "-3", "007", "1e5", "1.", ".5", "-", "1,5", " 1", "999999999999999.999999999999999", "1234567890123456"),
]


@pytest.mark.parametrize(
    "number",
    [{}, {"decimals": 0}, {"decimals": 2, "thousands": ".", "decimal_mark": ","}, {"decimals": 20, "suffix": " €"}],
)
def test_numbers_are_formatted_in_the_same_way(number: dict[str, Any]) -> None:
    same([{"header": "x", "field": "x", "number": number}], [bson.encode({"_id": 1, "x": x}) for x in NUMBERS])


def test_dates_are_formatted_in_the_same_way() -> None:
    dates = [
        *(datetime(1, 1, 1), datetime(1970, 1, 1), datetime(2024, 2, 29, 23, 59, 59), datetime(2026, 12, 31, 12)),
        *(
            datetime(9999, 12, 31, 23),
            datetime(1900, 3, 1),
            DatetimeMS(2**60),
            "2026-03-29T01:30:00Z",
            "2026-01-01",
            "x",
        ),
    ]
    batches = [bson.encode({"_id": 1, "x": x}) for x in dates]
    for timezone in ("UTC", "Europe/Paris"):
        date = {"format": "%Y-%m-%d %H:%M:%S %I %p %y %j %A %a %B %b %z %%", "timezone": timezone}
        same([{"header": "x", "field": "x", "date": date}], batches)


def test_common_columns_are_not_left_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {
        "_id": "p1",
        "name": {"fr": "Chaise été", "en": "Chair"},
        "brand": "Ünal",
        "price": 1234.565,
        "on": True,
        "at": datetime(2026, 3, 1, 10, 30),
        "tags": ["a", "b"],
        "color": "red",
        "text": "One line of text.",
    }
    wanted = [
        *("id", "brand", "tags"),
        {"header": "Titel", "template": "{brand} {name.fr} – {color}", "max_length": 100},
        {"header": "Name", "field": "name.de", "fallback": ["name.fr", "name.en"], "case": "upper"},
        {"header": "Farbe", "field": "color", "map": {"red": "rot"}, "map_default": "?"},
        {"header": "Preis", "field": "price", "number": {"decimals": 2, "decimal_mark": ",", "thousands": "."}},
        {"header": "Aktiv", "field": "on", "bool": ["ja", "nein"]},
        {"header": "Datum", "field": "at", "date": {"format": "%d.%m.%Y"}},
        {"header": "Tags", "field": "tags", "join": ", "},
        {"header": "Text", "field": "text", "strip_html": True},
        {"header": "Zustand", "value": "neu"},
        {"header": "Marke", "first_of": ["nobody", "brand"], "if_missing": "skip_row"},
    ]
    batch, selection = bson.encode(stored), selection_of(columns_of(wanted))
    fast = [make(compiled, selection, Tally()) for make in KINDS]
    first = [encode(batch) for encode in fast]  # the reference decides on new names

    def refuse(*_: Any) -> None:
        raise AssertionError("left to the reference")

    for kind in (reference.CsvRows, reference.FlatObjects, reference.SheetRows, reference.XmlElements):
        monkeypatch.setattr(kind, "encode", refuse)
    assert [encode(batch) for encode in fast] == first


def test_rows_that_are_skipped_and_texts_that_are_cut_are_counted_beyond_the_list() -> None:
    wanted = [
        {"header": "sku", "field": "sku", "if_missing": "skip_row"},
        {"header": "name", "field": "name", "max_length": 8},
    ]
    stored = [{"_id": n, "sku": None if n % 2 else "s", "name": "two words" if n % 3 else "one"} for n in range(600)]
    batches = [b"".join(map(bson.encode, stored[at : at + 100])) for at in range(0, 600, 100)]
    same(wanted, batches)
    tally = Tally()
    encode = csv(compiled, selection_of(columns_of(wanted)), tally)
    assert sum(encode(batch).rows for batch in batches) == 300
    counts = {f"{column} {reason}": rows for (column, reason), rows in tally.findings.counts.items()}
    assert counts == {"sku skipped_row": 300, "name cut_text": 200}
    assert len(tally.findings.listed) == 100


def test_a_text_that_is_cut_is_counted_once_if_the_reference_writes_its_row() -> None:
    wanted = [{"header": "name", "field": "name", "max_length": 3}, "list"]
    lists = [["a", "b"], ["a|b"], [["a"]]]  # the last two are JSON, which the reference writes
    stored = [{"_id": n, "name": "too long", "list": lists[n % 3]} for n in range(300)]
    same(wanted, [b"".join(map(bson.encode, stored[at : at + 50])) for at in range(0, 300, 50)])
