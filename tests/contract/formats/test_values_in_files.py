"""For any documents, the reader of a file finds what docs/values.md specifies (tests/contract/formats/rules.py)."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.exporter.catalogue.columns import Selection, merged_order, with_columns
from services.exporter.formats import formats
from services.exporter.formats.contract import ExportOptions, Sheet
from services.exporter.transcode import Tally, discover
from tests.contract.bson_documents import DOCUMENTS, KEYS
from tests.contract.formats import rules
from tests.contract.formats.readers import (
    Element,
    calamine_tables,
    csv_table,
    json_texts,
    openpyxl_tables,
    xml_elements,
    zip_tables,
)

pytestmark = pytest.mark.usefixtures("every_transcoder")

Documents = Sequence[dict[str, Any]]

CATALOGUES = st.lists(DOCUMENTS, max_size=4)
DELIMITED = {
    "delimiter": st.sampled_from([",", ";", "\t", "|"]),
    "escape_formulas": st.booleans(),
    "utf8_bom": st.booleans(),
}


@st.composite
def selections(draw: st.DrawFn, documents: Documents) -> Selection:
    """Everything, or some names included or excluded: leaves, parents, and an unknown one."""
    leaves = [path for document in documents for path in rules.paths(rules.named(document))]
    paths = {path[:depth] for path in leaves for depth in range(1, len(path) + 1)}
    names = sorted({rules.dotted(path) for path in paths} - {""})
    chosen = draw(st.lists(st.sampled_from([*names, "nobody has this"]), min_size=1, max_size=4, unique=True))
    return draw(st.sampled_from([Selection(), Selection(tuple(chosen)), Selection(None, tuple(chosen))]))


def encoded(form: str, documents: Documents, selection: Selection, options: ExportOptions) -> tuple[bytes, Tally]:
    """A file of the documents, in batches of two, with the header that they need."""
    header = rules.columns(documents, selection.include, selection.exclude) or ["id"]
    batches = [b"".join(bson.encode(d) for d in documents[at : at + 2]) for at in range(0, len(documents), 2)]
    tally = Tally()
    sheet = Sheet("products", header, selection, iter(batches))
    return b"".join(formats()[form].encode([sheet], options, tally)), tally


def table(documents: Documents, selection: Selection, cell: Callable[[Any], Any], missing: Any) -> list[list[Any]]:
    """The header, and a row per document."""
    names = rules.columns(documents, selection.include, selection.exclude)
    header = names or ["id"]
    found = [rules.written(document, names) if names else {} for document in documents]
    return [[cell(name) for name in header], *([cell(f[n]) if n in f else missing for n in header] for f in found)]


@given(documents=CATALOGUES, data=st.data())
def test_discovery_finds_the_columns_of_the_rules(documents: Documents, data: st.DataObject) -> None:
    selection = data.draw(selections(documents))
    seen: dict[str, bool] = {}
    for document in documents:
        discover(bson.encode(document), selection, seen)
    header = selection.header(name for name in merged_order((), seen) if name in with_columns(seen))
    assert list(header) == rules.columns(documents, selection.include, selection.exclude)


@given(path=st.lists(KEYS, min_size=1, max_size=4))
def test_a_dotted_name_stands_for_exactly_one_path(path: list[str]) -> None:
    assert rules.keys_of(rules.dotted(path)) == tuple(path)


@given(documents=CATALOGUES, options=st.fixed_dictionaries(DELIMITED), data=st.data())
def test_csv(documents: Documents, options: dict[str, Any], data: st.DataObject) -> None:
    selection = data.draw(selections(documents))
    chosen = formats()["csv"].Options(**options)
    file, tally = encoded("csv", documents, selection, chosen)
    cell = rules.harmless if options["escape_formulas"] else rules.cell
    assert csv_table(file, chosen) == table(documents, selection, cell, "")
    assert tally.records == {"products": len(documents)}


@given(documents=CATALOGUES, options=st.fixed_dictionaries(DELIMITED), rows=st.integers(1, 4))
def test_zip(documents: Documents, options: dict[str, Any], rows: int) -> None:
    chosen = formats()["zip"].Options.model_validate({"max_rows_per_file": rows, **options})
    file, _ = encoded("zip", documents, Selection(), chosen)
    cell = rules.harmless if options["escape_formulas"] else rules.cell
    header, *lines = table(documents, Selection(), cell, "")
    parts = [[header, *lines[at : at + rows]] for at in range(0, len(lines) or 1, rows)]
    assert list(zip_tables(file, chosen).values()) == parts


@given(documents=CATALOGUES, pretty=st.booleans(), json_lines=st.booleans(), data=st.data())
def test_json(documents: Documents, pretty: bool, json_lines: bool, data: st.DataObject) -> None:
    selection = data.draw(selections(documents))
    chosen = formats()["json"].Options.model_validate({"pretty": pretty, "json_lines": json_lines})
    file, tally = encoded("json", documents, selection, chosen)
    expected = [rules.selected(document, selection.include, selection.exclude) for document in documents]
    texts = json_texts(file, chosen)
    assert [rules.parsed(text) for text in texts] == [rules.json_value(document) for document in expected]
    assert texts == [rules.compact(document) for document in expected]
    assert tally.records == {"products": len(documents)}
    assert json_lines or len(json.loads(file)) == len(documents)


@given(documents=CATALOGUES, style=st.sampled_from(["elements", "attributes"]), data=st.data())
def test_xml(documents: Documents, style: str, data: st.DataObject) -> None:
    selection = data.draw(selections(documents))
    names = sorted({rules.dotted(path[:1]) for d in documents for path in rules.paths(rules.named(d))} - {""})
    cdata = data.draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if names else []
    chosen = formats()["xml"].Options.model_validate({"style": style, "cdata": cdata or None})
    file, tally = encoded("xml", documents, selection, chosen)
    expected = [rules.selected(document, selection.include, selection.exclude) for document in documents]
    assert xml_elements(file) == [element(d, style == "attributes", [*map(rules.keys_of, cdata)]) for d in expected]
    assert tally.records == {"products": len(documents)}


def element(value: Any, attributes: bool, cdata: Sequence[tuple[str, ...]], path: tuple[str, ...] = ()) -> Element:
    """The element that a reader must find for a value."""
    if isinstance(value, list):
        return Element(children=tuple(("item", element(item, attributes, cdata, path)) for item in value))
    if not isinstance(value, dict):
        return Element(text=re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", rules.scalar(value) or ""))
    shown = {
        key: attributes
        and not isinstance(inner, dict | list)
        and not any(rules.is_below((*path, key), parent) for parent in cdata)
        for key, inner in value.items()
    }
    members = {key: element(inner, attributes, cdata, (*path, key)) for key, inner in value.items()}
    return Element(
        tuple((key, members[key].text) for key in members if shown[key]),
        "",
        tuple((key, inner) for key, inner in members.items() if not shown[key]),
    )


@given(documents=CATALOGUES, formatting=st.booleans(), data=st.data())
def test_excel(documents: Documents, formatting: bool, data: st.DataObject) -> None:
    selection = data.draw(selections(documents))
    file, tally = encoded(
        "excel", documents, selection, formats()["excel"].Options.model_validate({"formatting": formatting})
    )
    expected = table(documents, selection, rules.excel, None)
    [(name, cells)] = openpyxl_tables(file).items()
    assert name == "products"
    assert padded(cells, expected, None) == typed(expected)
    [again] = calamine_tables(file).values()
    assert padded(again, expected, "") == typed([[as_calamine_sees(cell) for cell in row] for row in expected])
    whole = table(
        documents, selection, lambda value: rules.cell(value) if rules.excel(value).__class__ is str else "", ""
    )
    assert tally.texts_cut == sum(cell != rules.cut(cell) for row in whole for cell in row)


def as_calamine_sees(cell: Any) -> Any:
    """calamine returns "" for empty cells, and does not decode the escapes of two noncharacters."""
    if isinstance(cell, str):
        return cell.replace("\ufffe", "_xFFFE_").replace("\uffff", "_xFFFF_")
    return "" if cell is None else cell


def typed(cells: Sequence[Sequence[Any]]) -> list[list[tuple[str, Any]]]:
    """Cells with their kinds: True is not 1, and a text of digits is not a number."""
    return [[("number" if type(cell) in (int, float) else type(cell).__name__, cell) for cell in row] for row in cells]


def padded(
    found: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]], empty: Any
) -> list[list[tuple[str, Any]]]:
    """The cells that a reader found, with the empty cells at the end of rows and sheets that readers omit."""
    width = len(expected[0])
    assert all(len(row) <= width for row in found)
    rows = [[*row, *[empty] * (width - len(row))] for row in found]
    return typed([*rows, *[[empty] * width] * (len(expected) - len(rows))])
