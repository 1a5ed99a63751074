"""Which parts of documents MongoDB has to send."""

from services.exporter.catalogue.columns import Selection
from services.exporter.catalogue.projection import projection


def test_of_documents_that_are_reduced_whole_top_level_fields_are_read() -> None:
    chosen = Selection(("sku", "description.web", "description.print"))
    assert projection(chosen, is_reduced=True) == {"sku": 1, "description": 1, "_id": 1}


def test_without_a_selection_everything_is_read() -> None:
    assert projection(Selection()) is None


def test_included_fields_and_the_id_are_read() -> None:
    assert projection(Selection(("sku", "attributes.color"))) == {"sku": 1, "attributes.color": 1, "_id": 1}


def test_a_field_below_an_included_parent_is_not_repeated() -> None:
    assert projection(Selection(("a.b", "a", "a.b.c"))) == {"a": 1, "_id": 1}


def test_a_name_that_mongodb_rejects_means_whole_documents() -> None:
    for name in ("a\\.b", "$where", "a..b", "a.", "a.$b", "a\0"):
        assert projection(Selection(("sku", name))) is None


def test_only_top_level_fields_are_excluded_so_that_lists_of_objects_stay_complete() -> None:
    assert projection(Selection(None, ("stock", "variants.sku"))) == {"stock": 0}


def test_the_id_is_never_excluded_because_documents_may_have_a_field_called_id() -> None:
    assert projection(Selection(None, ("id",))) is None


def test_for_the_id_or_a_field_below_it_both_ids_are_read_whole() -> None:
    for name in ("id", "_id", "id.x", "_id.x.y"):
        assert projection(Selection(("sku", name))) == {"sku": 1, "id": 1, "_id": 1}


def test_a_path_that_is_too_deep_for_mongodb_means_whole_documents() -> None:
    assert projection(Selection((".".join("a" * 101),))) is None
