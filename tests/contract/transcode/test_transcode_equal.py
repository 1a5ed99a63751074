"""The compiled transcoders write the same bytes as the Python ones for any batch, and raise the same errors."""

import math
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import permutations
from types import ModuleType
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from services.exporter.catalogue.columns import Selection, with_columns
from services.exporter.transcode import Tally, reference
from services.exporter.transcode.elements import Layout
from services.exporter.transcode.reference import discover
from services.exporter.transcode.values import documents, leaves
from tests.contract.transcode.raw_documents import BATCHES, EDGES, NULL, ODD_OBJECTS, around, damaged

compiled = pytest.importorskip("services.exporter.transcode.compiled", reason="the transcoders are not compiled here")

Make = Callable[[ModuleType, Tally], Callable[[bytes], Any]]
ORDINARY = {
    "_id": ObjectId("65f2f0a0a0a0a0a0a0a0a0a0"),
    "name": 'é "x"\r\n|',
    "price": 12.5,
    "cost": Decimal128("1.20"),
    "stock": 1,
    "long": Int64(2**60),
    "on": True,
    "none": None,
    "at": datetime(2026, 3, 15),
    "far": DatetimeMS(2**60),
    "raw": Binary(b"a"),
    "uuid": Binary(bytes(16), 4),
    "stamp": Timestamp(1, 2),
    "empty": {},
    "none left": [],
    "list": ["a", "b"],
    "a": {"b": {"c": 1}},
    "objects": [{"x": 1, "y": [1]}],
}
DAMAGED = st.lists(damaged(), min_size=1, max_size=2).map(lambda pairs: [batch for pair in pairs for batch in pair])


def outcome(implementation: ModuleType, make: Make, batches: Sequence[bytes]) -> list[Any]:
    """The bytes or the error of each batch, and what was counted."""
    tally = Tally()
    encode, found, refused = make(implementation, tally), [], False
    for batch in [*batches, *batches]:  # in the second round every key is known
        try:
            result = encode(batch)
            # After an error the widths may differ: the file is discarded.
            found.append(result[0] if refused and type(result) is tuple else result)
        except Exception as exc:
            found.append((type(exc), str(exc)))
            refused = True
    # After an error the counts may differ: the file is discarded.
    return found if refused else [*found, {name: [*seen.items()] for name, seen in tally.seen.items()}, tally.texts_cut]


def same(make: Make, batches: Sequence[bytes]) -> None:
    """Fails if the two implementations differ."""
    assert outcome(compiled, make, batches) == outcome(reference, make, batches)


@st.composite
def selections(draw: st.DrawFn, batches: Sequence[bytes]) -> Selection:
    """Everything, or some names or their parents included or excluded."""
    names = {name for batch in batches for document in documents(batch) for name, _ in leaves(document)}
    parents = {name.rpartition(".")[0] for name in names}
    choice = [*sorted((names | parents) - {""}), "id", "_id", "nobody", "a.b", "a\\.b", "odd\\"]
    chosen = tuple(draw(st.lists(st.sampled_from(choice), min_size=1, max_size=4, unique=True)))
    return draw(st.sampled_from([Selection(), Selection(chosen), Selection(None, chosen)]))


@st.composite
def headers(draw: st.DrawFn, batches: Sequence[bytes], selection: Selection) -> tuple[str, ...]:
    """Usually the complete header; sometimes one that lacks a name, so that a row is refused."""
    seen: dict[str, bool] = {}
    for batch in batches:
        discover(batch, selection, seen)
    header = selection.header(with_columns(seen)) or ("id",)
    others = [header[:-1] or ("id",), (*header, "ghost"), selection.header(seen) or ("id",)]
    return draw(st.sampled_from([header] * 5 + others))


def csv(header: Sequence[str], selection: Selection, delimiter: str = ",", escape: bool = True) -> Make:
    return lambda implementation, tally: (
        implementation.CsvRows("products", header, selection, tally, delimiter=delimiter, escape_formulas=escape).encode
    )


def xml(header: Sequence[str], selection: Selection, first: int = 2) -> Make:
    def make(implementation: ModuleType, tally: Tally) -> Callable[[bytes], Any]:
        rows = implementation.SheetRows("products", header, selection, tally, first_style=2)
        return lambda batch: (rows.encode(batch, first), rows.longest(), rows.contents())

    return make


def json(selection: Selection, newline: str | None, ending: str, quoted: bool = False) -> Make:
    return lambda implementation, tally: (
        implementation.JsonObjects(
            "products", selection, tally, newline=newline, ending=ending, quote_decimals=quoted
        ).encode
    )


def elements(selection: Selection, attributes: bool = False, cdata: Sequence[str] = ()) -> Make:
    layout = Layout("row", attributes, frozenset(cdata), frozenset({"g"}))
    return lambda implementation, tally: implementation.XmlElements("products", selection, tally, layout=layout).encode


def discovery(selection: Selection) -> Make:
    return lambda implementation, tally: implementation.Discovery(selection, tally.seen.setdefault("products", {})).note


@given(batches=BATCHES, data=st.data(), delimiter=st.sampled_from(",;\t|"), escape=st.booleans())
def test_lines_of_csv_are_the_same(batches: list[bytes], data: st.DataObject, delimiter: str, escape: bool) -> None:
    selection = data.draw(selections(batches))
    same(csv(data.draw(headers(batches, selection)), selection, delimiter, escape), batches)


@given(batches=BATCHES, data=st.data(), first=st.sampled_from([2, 9, 99, 1_048_570]))
def test_rows_of_a_worksheet_are_the_same(batches: list[bytes], data: st.DataObject, first: int) -> None:
    selection = data.draw(selections(batches))
    same(xml(data.draw(headers(batches, selection)), selection, first), batches)


@given(batches=BATCHES, data=st.data(), pretty=st.booleans())
def test_json_objects_are_the_same(batches: list[bytes], data: st.DataObject, pretty: bool) -> None:
    selection = data.draw(selections(batches))
    same(json(selection, "\n  ", ",\n  ") if pretty else json(selection, None, "\n"), batches)
    same(json(selection, None, "\n", quoted=True), batches)


@given(batches=BATCHES, data=st.data(), attributes=st.booleans())
def test_xml_elements_are_the_same(batches: list[bytes], data: st.DataObject, attributes: bool) -> None:
    cdata = data.draw(selections(batches)).exclude
    same(elements(data.draw(selections(batches)), attributes, cdata), batches)


@given(batches=BATCHES, data=st.data())
def test_the_columns_found_are_the_same(batches: list[bytes], data: st.DataObject) -> None:
    same(discovery(data.draw(selections(batches))), batches)


@given(batches=DAMAGED, columns=st.lists(st.sampled_from(["id", "a", "b", "a.b", "sku"]), min_size=1, unique=True))
def test_damaged_batches_give_the_same_errors_or_the_same_bytes(batches: list[bytes], columns: list[str]) -> None:
    chosen = Selection(tuple(columns))
    for make in (
        *(csv(columns, chosen), csv(columns, Selection()), xml(columns, chosen)),
        *(json(Selection(), None, "\n"), json(chosen, None, "\n"), json(Selection(None, ("a",)), "\n  ", ",\n  ")),
        *(elements(Selection()), elements(chosen, attributes=True), elements(Selection(None, ("a",)), cdata=("b",))),
        discovery(Selection()),
    ):
        same(make, batches)


def every(columns: Sequence[str]) -> list[Make]:
    """A transcoder of every kind, with every option, for documents with these columns."""
    chosen, without = Selection(("o", "x", "a")), Selection(None, ("o.x", "b", "a.b"))
    parted = Selection(("a.$id", "a"))
    whole = tuple(columns) or ("id",)
    return [
        *(csv(whole, Selection(), delimiter, escape) for delimiter in ",;\t|" for escape in (True, False)),
        csv(chosen.header(columns) or ("id",), chosen),
        xml(whole, Selection()),
        xml(without.header(columns) or ("id",), without),
        *(json(selection, None, "\n") for selection in (Selection(), chosen, without, parted)),
        *(json(selection, "\n  ", ",\n  ") for selection in (Selection(), chosen, without)),
        *(elements(selection) for selection in (Selection(), chosen, without, parted)),
        *(elements(selection, True, ("x", "a.b")) for selection in (Selection(), chosen, without, parted)),
        discovery(Selection()),
        discovery(chosen),
    ]


def columns_of(document: bytes) -> tuple[str, ...]:
    """The names of a document's leaves; empty if it cannot be read."""
    seen: dict[str, bool] = {}
    with suppress(bson.errors.InvalidBSON):
        discover(document, Selection(), seen)
    return tuple(seen)


@pytest.mark.full
def test_boundary_values_are_the_same() -> None:
    for kind, value in EDGES:
        for known, document in zip(around(*NULL), around(kind, value), strict=True):
            for make in every(tuple(dict.fromkeys([*columns_of(known), *columns_of(document)]))):
                same(make, [known, document])


def test_objects_with_unusual_keys_are_the_same() -> None:
    for document in ODD_OBJECTS:
        for make in every(columns_of(document)):
            same(make, [document])
    columns = tuple(dict.fromkeys(name for document in ODD_OBJECTS for name in columns_of(document)))
    for make in every(columns):
        same(make, ODD_OBJECTS)


def test_included_fields_have_the_same_order_whatever_a_document_lacks() -> None:
    stored: list[dict[str, Any]] = [
        {"_id": 1, "d": 1, "a": {"y": 1, "x": 2, "b": {"e": [{"f": 1}], "c": 3}}},
        {"_id": 2, "a": {"b": {"e": {"g": 1}}, "x": 2}, "id": "own"},
        {"_id": {"c": 1}, "a": {"b": {}, "x": {"z": 1}}},
        {"a": {"b": {"c": {"h": 1, "i": 2}}}, "d": {"x": 1}},
        {"a": {"x": 1}, "d": None},
        {"a": 1, "id": {"c": 1}},
        {"a": {}},
        {},
    ]
    batch = b"".join(map(bson.encode, stored))
    names = ["a", "a.b", "a.b.c", "a.x", "d", "id"]
    for count in range(1, 5):
        for chosen in permutations(names, count):
            same(json(Selection(chosen), None, "\n"), [batch])
            same(json(Selection(None, chosen), "\n  ", ",\n  "), [batch])
            same(elements(Selection(chosen)), [batch])
            same(elements(Selection(chosen), True, ("a.b",)), [batch])
            same(elements(Selection(None, chosen), True), [batch])


def test_ordinary_documents_are_not_left_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = bson.encode(ORDINARY) + bson.encode({**ORDINARY, "id": "own"})
    seen: dict[str, bool] = {}
    discover(batch, Selection(), seen)
    chosen = Selection(("id", "a.b", "objects"))
    makes = [
        csv(tuple(seen), Selection()),
        csv(chosen.header(seen), chosen),
        xml(tuple(seen), Selection()),
        json(Selection(), None, "\n"),
        json(Selection(), None, "\n", quoted=True),
        json(chosen, None, "\n"),
        json(chosen, None, "\n", quoted=True),
        json(Selection(None, ("a.b", "objects")), "\n  ", ",\n  "),
        *(elements(Selection(), attributes, ("name",)) for attributes in (False, True)),
        *(elements(chosen, attributes) for attributes in (False, True)),
        elements(Selection(None, ("a.b", "objects"))),
        discovery(Selection()),
    ]
    encoders = [make(compiled, Tally()) for make in makes]
    first = [encode(batch) for encode in encoders]  # the reference decides on new names

    def refuse(*_: Any) -> None:
        raise AssertionError("left to the reference")

    for kind in (reference.CsvRows, reference.JsonObjects, reference.XmlElements, reference.SheetRows):
        monkeypatch.setattr(kind, "encode", refuse)
    monkeypatch.setattr(reference.Discovery, "note", refuse)
    assert [encode(batch) for encode in encoders] == first


def test_other_threads_run_while_a_batch_is_transcoded() -> None:
    batch = bson.encode(ORDINARY) * 100_000
    encode = json(Selection(), None, "\n")(compiled, Tally())

    def others_run_meanwhile() -> bool:
        begun, done = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            encode(batch)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        meanwhile = not done.is_set()
        thread.join()
        return meanwhile

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # no forced switches: this thread runs only if the other one releases the GIL
    try:
        # A busy machine may delay this thread once; a GIL that is held would delay it every time.
        assert any(others_run_meanwhile() for _ in range(10))
    finally:
        sys.setswitchinterval(interval)


def test_more_keys_than_the_tree_keeps_are_written_correctly() -> None:
    stored = [{"_id": n, "a": {f"k{n}-{m}": m for m in range(1_000)}} for n in range(120)]
    batches = [b"".join(map(bson.encode, stored[at : at + 40])) for at in range(0, 120, 40)]
    same(json(Selection(), None, "\n"), batches)
    same(elements(Selection()), batches)
    same(csv(("id",), Selection(("id",))), batches)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_written_like_its_repr(value: float) -> None:
    assert compiled.double_text(value) == repr(value)


def test_doubles_at_powers_of_two_are_written_like_their_reprs() -> None:
    for exponent in range(-1074, 1024):
        power = math.ldexp(1.0, exponent)
        for value in (power, math.nextafter(power, 0), math.nextafter(power, math.inf), -power):
            assert compiled.double_text(value) == repr(value)


def test_random_doubles_are_written_like_their_reprs() -> None:
    assert compiled.first_wrong_double(1, 300_000) is None
    for digits in range(1, 18):
        for power in range(-30, 30):
            value = float(f"{10**digits // 7}e{power}")
            assert compiled.double_text(value) == repr(value)
