"""Leaves are assigned to columns."""

from typing import Any

import bson
import pytest
from bson import DBRef

from services.exporter.catalogue.columns import Selection, with_columns
from services.exporter.transcode import UnforeseenColumn
from services.exporter.transcode.names import Names
from services.exporter.transcode.reference import discover
from services.exporter.transcode.values import documents

MISSING = "-"


def rows(columns: list[str], *stored: dict[str, Any], selection: Selection | None = None) -> list[list[Any]]:
    """The rows of the documents."""
    names, filled = Names("products", columns, selection or Selection(), {}), []
    for document in documents(b"".join(map(bson.encode, stored))):
        row: list[Any] = [MISSING] * len(columns)
        names.fill(row, document, names.root(document))
        filled.append(row)
    return filled


def seen(*stored: dict[str, Any], selection: Selection | None = None) -> list[str]:
    return list(found(*stored, selection=selection))


def found(*stored: dict[str, Any], selection: Selection | None = None) -> dict[str, bool]:
    names: dict[str, bool] = {}
    for document in stored:
        discover(bson.encode(document), selection or Selection(), names)
    return names


def test_leaves_are_found_in_first_seen_order() -> None:
    assert seen({"_id": 1, "b": 1, "a": {"x": 1}}, {"_id": 2, "a": {"y": [], "x": {}}, "c": None}) == [
        *("id", "b", "a.x", "a.y", "c")
    ]


def test_missing_stays_missing_and_null_is_a_value() -> None:
    assert rows(["id", "a"], {"_id": 1}, {"_id": 2, "a": None}) == [[1, MISSING], [2, None]]


def test_documents_with_and_without_a_field_called_id_may_be_mixed() -> None:
    assert rows(["id", "_id"], {"_id": 1}, {"_id": 2, "id": "own"}, {"_id": 3}) == [
        [1, MISSING],
        ["own", 2],
        [3, MISSING],
    ]
    assert seen({"_id": 1}, {"_id": 2, "id": "own"}) == ["id", "_id"]


def test_a_key_may_hold_a_plain_value_in_one_document_and_an_object_in_another() -> None:
    filled = rows(["a", "a.b", "a.b.c"], {"a": 1}, {"a": {"b": 2}}, {"a": {"b": {"c": 3}}}, {"a": {}})
    assert filled == [[1, MISSING, MISSING], [MISSING, 2, MISSING], [MISSING, MISSING, 3], [MISSING] * 3]


def test_an_empty_object_is_not_written_where_the_header_has_columns_below_it() -> None:
    assert rows(["a.b.c"], {"a": {"b": {"c": 1}}}, {"a": {"b": {}}}, {"a": {}}) == [[1], [MISSING], [MISSING]]
    filled = rows(["a", "a.b"], {"a": {}}, {"a": {"b": 1}}, {"a": "text"})
    assert filled == [[MISSING, MISSING], [MISSING, 1], ["text", MISSING]]
    assert rows(["a", "ab"], {"a": {}}) == [[{}, MISSING]]
    with pytest.raises(UnforeseenColumn):
        rows(["a.b", "ab"], {"a": {"b": 1}}, {"a": "text"})
    with pytest.raises(UnforeseenColumn):
        rows(["ab", "a\\.b"], {"a": {}})


def test_places_where_only_empty_objects_were_found_are_known() -> None:
    stored: list[dict[str, Any]] = [{"a": {}}, {"a": {"b": {}}}, {"a": {"b": "x", "c": {}}}, {"a": {"b": {}}}]
    assert found(*stored) == {"a": False, "a.b": True, "a.c": False}
    assert [*with_columns(found(*stored))] == ["a.b", "a.c"]
    assert [*with_columns(found(stored[0], selection=Selection(None, ("a.b",))))] == ["a"]


def test_a_dbref_fills_its_columns_after_a_plain_value_at_the_same_place() -> None:
    filled = rows(["r", "r.$ref", "r.$id"], {"r": 5}, {"r": DBRef("shops", 7)}, {"r": None})
    assert filled == [[5, MISSING, MISSING], [MISSING, "shops", 7], [None, MISSING, MISSING]]


def test_a_leaf_of_a_dbref_may_be_selected_without_the_plain_value_at_the_same_place() -> None:
    chosen = Selection(("r.$id",))
    assert rows(["r.$id"], {"r": 5}, {"r": DBRef("shops", 7)}, selection=chosen) == [[MISSING], [7]]
    assert seen({"r": 5}, {"r": DBRef("shops", 7)}, selection=chosen) == ["r.$id"]


def test_unusual_keys_have_distinct_names() -> None:
    keys = ["(root)", "", "a.b", "a\\", "$where", " ", "ü🎉"]
    document = {key: {"x": at} for at, key in enumerate(keys)}
    names = ["(root).x", ".x", "a\\.b.x", "a\\\\.x", "$where.x", " .x", "ü🎉.x"]
    assert seen(document) == names
    assert rows(names, document) == [list(range(7))]


def test_an_unforeseen_leaf_is_reported_with_its_sheet() -> None:
    with pytest.raises(UnforeseenColumn) as refused:
        rows(["id"], {"_id": 1}, {"_id": 2, "a": {"b": 1}})
    assert (refused.value.sheet, refused.value.name) == ("products", "a.b")


def test_a_leaf_that_is_not_selected_is_never_unforeseen() -> None:
    assert rows(["id"], {"_id": 1, "a": {"b": 1}}, selection=Selection(None, ("a",))) == [[1]]
