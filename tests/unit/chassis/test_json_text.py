"""Members of JSON objects are moved as text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.json_text import members, with_member, without

OBJECTS = st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans()), max_size=4)


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_members_are_found_added_and_removed_however_the_text_is_written(
    body: dict[str, Any], indent: int | None, plain: bool
) -> None:
    text = json.dumps(body, indent=indent, ensure_ascii=plain)
    assert {name: json.loads(value) for name, value in members(text)} == body
    others = {name: value for name, value in body.items() if name != "ids"}
    bare = without(text, "ids")
    assert json.loads(bare) == others
    assert json.loads(with_member(bare, "ids", "[1]")) == {**others, "ids": [1]}


def test_numbers_keep_their_digits() -> None:
    text = ' {"ids": [], "price": 1.00000000000000000001}\n'
    assert without(text, "ids") == '{"price": 1.00000000000000000001}'
    assert with_member(without(text, "ids"), "ids", "[]") == '{"price": 1.00000000000000000001, "ids": []}'
    assert with_member("{ }", "ids", "[]") == '{"ids": []}'


@pytest.mark.parametrize("text", ["", "{", "}", "[]", "7", '"{}"', "{]"])
def test_text_that_is_not_an_object_gets_no_member(text: str) -> None:
    assert with_member(text, "ids", "[]") == text
