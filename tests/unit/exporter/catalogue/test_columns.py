"""The columns of a flat file, and their order."""

import time

import pytest

from services.exporter.catalogue.columns import Selection, grouped, is_at_or_below, lineage, merged_order, near_names
from services.exporter.catalogue.projection import projection

SEEN = ("sku", "attributes.size", "id", "attributes.color", "description.fr_FR.print", "attributes_old", "a\\.b")


def test_a_parent_is_not_above_names_that_only_have_the_same_prefix() -> None:
    assert is_at_or_below("attributes.color", "attributes")
    assert is_at_or_below("attributes", "attributes")
    assert not is_at_or_below("attributes_old", "attributes")
    assert not is_at_or_below("attributes", "attributes.color")


def test_the_lineage_is_the_name_and_its_parents() -> None:
    assert list(lineage("a.b.c")) == ["a.b.c", "a.b", "a"]
    assert list(lineage("a")) == ["a"]
    assert list(lineage("a\\.b.c"))[:2] == ["a\\.b.c", "a\\.b"]


def test_the_id_comes_first_and_the_others_as_seen() -> None:
    assert Selection().header(SEEN)[:3] == ("id", "sku", "attributes.size")
    assert Selection().header(("sku", "a")) == ("sku", "a")


def test_included_fields_fix_columns_and_order_and_a_parent_means_its_leaves() -> None:
    chosen = Selection(("attributes", "id"))
    assert chosen.header(SEEN) == ("attributes.size", "attributes.color", "id")
    assert not chosen.accepts("attributes_old")
    assert chosen.accepts("attributes.new")


def test_a_field_included_by_name_and_by_its_parent_has_one_column() -> None:
    assert Selection(("attributes.color", "attributes")).header(SEEN) == ("attributes.color", "attributes.size")


def test_an_unknown_field_keeps_its_place_and_is_reported_as_missing() -> None:
    chosen = Selection(("sku", "cost", "description.fr_FR"))
    assert chosen.header(SEEN) == ("sku", "cost", "description.fr_FR.print")
    assert chosen.missing(SEEN) == ("cost",)


def test_a_dot_inside_a_key_does_not_separate_parent_and_child() -> None:
    assert Selection(("a",)).header(SEEN) == ("a",)
    assert Selection(("a\\.b",)).header(SEEN) == ("a\\.b",)
    assert "a\\.b" in Selection(None, ("a",)).header(SEEN)


def test_an_excluded_parent_excludes_everything_below_it() -> None:
    left = Selection(None, ("attributes", "description.fr_FR", "id")).header(SEEN)
    assert left == ("sku", "attributes_old", "a\\.b")


def test_known_names_keep_their_order_and_new_ones_follow() -> None:
    assert merged_order(("c", "gone", "a"), ("n", "a", "m", "c")) == ("c", "a", "n", "m")
    assert merged_order((), ("b", "a", "b")) == ("b", "a")


def test_columns_of_the_same_parent_are_placed_together_and_new_ones_follow_in_their_group() -> None:
    first = ("text.de.web", "sku", "text.fr.web", "text.de.print", "id", "price")
    header = Selection().header(first)
    assert header == ("id", "text.de.web", "text.de.print", "text.fr.web", "sku", "price")
    later = merged_order(first, [*first, "new", "text.fr.print", "text", "text\\.de"])
    assert Selection().header(later) == (
        "id",
        *("text", "text.de.web", "text.de.print", "text.fr.web", "text.fr.print"),
        *("sku", "price", "new", "text\\.de"),
    )
    assert grouped(grouped(later)) == grouped(later)


def test_no_name_is_similar_to_itself() -> None:
    assert near_names("color", ("color", "attributes.color", "colour")) == ("attributes.color", "colour")


@pytest.mark.parametrize(
    ("asked", "near"),
    [("colour", "color"), ("color", "attributes.color"), ("Sku", "sku"), ("atributes.size", "attributes.size")],
)
def test_similar_names_begin_with_the_one_that_was_meant(asked: str, near: str) -> None:
    assert (
        near_names(asked, ("sku", "color" if asked == "colour" else "attributes.color", "attributes.size"))[0] == near
    )


def test_there_are_no_names_similar_to_nonsense() -> None:
    assert near_names("zzzzzz", SEEN) == ()


def test_thousands_of_fields_are_selected_quickly() -> None:
    names = tuple(f"attributes.field_{n}" for n in range(5_000))
    started = time.thread_time()
    chosen = Selection(names)
    assert chosen.header(reversed(names)) == names
    assert chosen.missing(names) == ()
    assert len(projection(chosen) or ()) == 5_001
    assert len(merged_order(names, names)) == 5_000
    assert all(chosen.accepts(name) for name in names)
    assert time.thread_time() - started < 2  # comparing all pairs takes over ten seconds
