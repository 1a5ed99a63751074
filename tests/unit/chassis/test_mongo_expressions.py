"""Updates that set only what changed."""

from services.chassis.mongo_expressions import difference


def test_only_changed_fields_are_set_and_only_known_ones_removed() -> None:
    before = {"_id": "1", "name": "a", "same": [1], "gone": 1}
    after = {"_id": "1", "name": "b", "same": [1], "new": None}
    assert difference(before, after) == {"$set": {"name": "b", "new": None}, "$unset": {"gone": ""}}


def test_embedded_documents_are_compared_field_by_field() -> None:
    before = {"config": {"host": "h", "port": 1}, "pins": {"key": "a"}, "empty": {}}
    after = {"config": {"host": "h", "port": 2}, "pins": {}, "empty": {"a": {"b": 1}}}
    assert difference(before, after) == {"$set": {"config.port": 2, "empty.a": {"b": 1}}, "$unset": {"pins.key": ""}}


def test_lists_are_replaced_as_a_whole_and_types_differ() -> None:
    assert difference({"a": [1, 2]}, {"a": [1, 3]}) == {"$set": {"a": [1, 3]}}
    assert difference({"a": 1}, {"a": True}) == {"$set": {"a": True}}


def test_equal_documents_need_no_update() -> None:
    assert difference({"a": {"b": 1}}, {"a": {"b": 1}}) == {}
