"""What a profile's options become with those of a run, and how repeated requests are recognized."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.faults import BadRequest, Violation
from services.exporter.profiles.profile import creation_hash, merged, naming_options, run_hash

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OPTIONS = st.dictionaries(st.text(max_size=3), VALUES, max_size=5)


@given(OPTIONS, OPTIONS)
def test_options_are_replaced_as_a_whole_and_null_removes_them(
    options: dict[str, object], new: dict[str, object]
) -> None:
    expected = {name: value for name, value in (options | new).items() if name not in new or new[name] is not None}
    assert json.loads(merged(json.dumps(options), json.dumps(new))) == expected


@pytest.mark.parametrize(
    ("options", "new", "expected"),
    [
        ("{}", "{}", "{}"),
        ('{"a": 1.10}', "{}", '{"a": 1.10}'),
        (
            '{"a":1.10,"b":[1e400]}',
            '{"c" : 12345678901234567890.0 }',
            '{"a": 1.10, "b": [1e400], "c": 12345678901234567890.0}',
        ),
        ('{"a": {"b": 1, "c": 2}}', '{"a": {"b": 0.10}}', '{"a": {"b": 0.10}}'),
        ('{"a": 1, "ü": 2}', '{"a": null, "b": null, "\\u00fc": 3}', '{"ü": 3}'),
    ],
)
def test_numbers_keep_all_their_digits(options: str, new: str, expected: str) -> None:
    assert merged(options, new) == expected


def test_hashes_tell_requests_apart_and_not_how_they_are_written() -> None:
    assert creation_hash("a", "csv", {"x": 1, "y": 2}) == creation_hash("a", "csv", {"y": 2, "x": 1})
    others = [creation_hash("b", "csv", {}), creation_hash("a", "zip", {}), creation_hash("a", "csv", {"x": 1})]
    assert (
        len({creation_hash("a", "csv", {}), *others, run_hash("a", {}), run_hash("b", {}), run_hash("a", {"x": 1})})
        == 7
    )


def test_violations_name_the_option_in_the_request() -> None:
    with pytest.raises(BadRequest) as raised, naming_options():
        raise BadRequest(
            [Violation("filters.price", "x"), Violation("options_json", "y"), Violation("tenant", "z")], code="c"
        )
    assert [one.field for one in raised.value.violations] == ["options_json.filters.price", "options_json", "tenant"]
    assert raised.value.code == "c"
