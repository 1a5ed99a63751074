"""Which columns a flat file has, and in which order."""

import time

import pytest

from services.exporter.catalogue.columns import Selection, is_at_or_below, lineage, merged_order, near_names
from services.exporter.catalogue.projection import projection

SEEN = ("sku", "attributes.size", "id", "attributes.color", "description.fr_FR.print", "attributes_old", "a\\.b")


def test_a_parent_is_above_its_leaves_and_not_above_names_that_only_begin_alike() -> None:
    assert is_at_or_below("attributes.color", "attributes")
    assert is_at_or_below("attributes", "attributes")
    assert not is_at_or_below("attributes_old", "attributes")
    assert not is_at_or_below("attributes", "attributes.color")


def test_the_lineage_is_the_name_and_its_parents() -> None:
    assert list(lineage("a.b.c")) == ["a.b.c", "a.b", "a"]
    assert list(lineage("a")) == ["a"]
    assert list(lineage("a\\.b.c"))[:2] == ["a\\.b.c", "a\\.b"]


def test_the_id_comes_first_and_the_rest_as_seen() -> None:
    assert Selection().header(SEEN)[:3] == ("id", "sku", "attributes.size")
    assert Selection().header(("sku", "a")) == ("sku", "a")


def test_included_fields_fix_set_and_order_and_a_parent_stands_for_its_leaves() -> None:
    chosen = Selection(("attributes", "id"))
    assert chosen.header(SEEN) == ("attributes.size", "attributes.color", "id")
    assert not chosen.accepts("attributes_old")
    assert chosen.accepts("attributes.new")


def test_a_field_named_twice_by_itself_and_its_parent_has_one_column() -> None:
    assert Selection(("attributes.color", "attributes")).header(SEEN) == ("attributes.color", "attributes.size")


def test_a_field_nobody_has_keeps_its_place_and_is_missing() -> None:
    chosen = Selection(("sku", "cost", "description.fr_FR"))
    assert chosen.header(SEEN) == ("sku", "cost", "description.fr_FR.print")
    assert chosen.missing(SEEN) == ("cost",)


def test_a_name_with_a_dot_in_a_key_is_no_parents_child() -> None:
    assert Selection(("a",)).header(SEEN) == ("a",)
    assert Selection(("a\\.b",)).header(SEEN) == ("a\\.b",)
    assert "a\\.b" in Selection(None, ("a",)).header(SEEN)


def test_excluded_fields_go_with_all_below_them() -> None:
    left = Selection(None, ("attributes", "description.fr_FR", "id")).header(SEEN)
    assert left == ("sku", "attributes_old", "a\\.b")


def test_known_names_keep_their_order_and_new_ones_follow() -> None:
    assert merged_order(("c", "gone", "a"), ("n", "a", "m", "c")) == ("c", "a", "n", "m")
    assert merged_order((), ("b", "a", "b")) == ("b", "a")


@pytest.mark.parametrize(
    ("asked", "near"),
    [("colour", "color"), ("color", "attributes.color"), ("Sku", "sku"), ("atributes.size", "attributes.size")],
)
def test_near_names_are_what_was_meant(asked: str, near: str) -> None:
    assert (
        near_names(asked, ("sku", "color" if asked == "colour" else "attributes.color", "attributes.size"))[0] == near
    )


def test_nothing_is_near_to_nonsense() -> None:
    assert near_names("zzzzzz", SEEN) == ()


def test_thousands_of_fields_are_decided_on_in_no_time() -> None:
    names = tuple(f"attributes.field_{n}" for n in range(5_000))
    started = time.perf_counter()
    chosen = Selection(names)
    assert chosen.header(reversed(names)) == names
    assert chosen.missing(names) == ()
    assert len(projection(chosen) or ()) == 5_001
    assert len(merged_order(names, names)) == 5_000
    assert all(chosen.accepts(name) for name in names)
    assert time.perf_counter() - started < 2  # comparing each with each takes over ten seconds
