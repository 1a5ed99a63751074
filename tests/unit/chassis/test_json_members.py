"""One member of a JSON object, cut out of the text unchanged: no digit of a number may be lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.json_text import members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_member_is_found_unchanged_and_no_other(
    body: dict[str, Any], indent: int | str | None, ascii_: bool
) -> None:
    text = json.dumps(body, indent=indent, ensure_ascii=ascii_)
    for name, value in body.items():
        found = dict(members(text)).get(name)
        assert found is not None
        assert found in text
        assert json.loads(found) == value
    assert dict(members(text)).get("".join(body) + "?") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"options":{"a":1.00000000000000000001}}', '{"a":1.00000000000000000001}'),
        (' { "a" : "options" , "options" :\r\n[1, 2] } ', "[1, 2]"),
        ('{"a": {"options": 1}, "options": 12345678901234567890}', "12345678901234567890"),
        ('{"opt\\u0069ons": true}', "true"),
        ('{"a": "\\"options\\": 1"}', None),
        ("{}", None),
    ],
)
def test_a_member_keeps_its_text(text: str, found: str | None) -> None:
    assert dict(members(text)).get("options") == found
