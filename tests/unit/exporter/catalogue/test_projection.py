"""What MongoDB is asked to leave out."""

from services.exporter.catalogue.columns import Selection
from services.exporter.catalogue.projection import projection


def test_everything_is_read_when_nothing_is_chosen() -> None:
    assert projection(Selection()) is None


def test_chosen_fields_and_the_id_are_read() -> None:
    assert projection(Selection(("sku", "attributes.color"))) == {"sku": 1, "attributes.color": 1, "_id": 1}


def test_a_field_below_a_chosen_parent_is_not_named_twice() -> None:
    assert projection(Selection(("a.b", "a", "a.b.c"))) == {"a": 1, "_id": 1}


def test_a_name_mongodb_cannot_take_means_whole_documents() -> None:
    for name in ("a\\.b", "$where", "a..b", "a.", "a.$b", "a\0"):
        assert projection(Selection(("sku", name))) is None


def test_only_whole_fields_are_left_out_so_that_lists_of_objects_stay_whole() -> None:
    assert projection(Selection(None, ("stock", "variants.sku"))) == {"stock": 0}


def test_the_id_is_never_left_out_since_documents_may_have_an_id_of_their_own() -> None:
    assert projection(Selection(None, ("id",))) is None


def test_what_may_be_the_id_or_below_it_is_read_with_both_ids_whole() -> None:
    for name in ("id", "_id", "id.x", "_id.x.y"):
        assert projection(Selection(("sku", name))) == {"sku": 1, "id": 1, "_id": 1}


def test_a_path_deeper_than_mongodb_takes_means_whole_documents() -> None:
    assert projection(Selection((".".join("a" * 101),))) is None
