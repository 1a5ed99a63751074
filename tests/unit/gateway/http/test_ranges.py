"""Ranges and conditions, against what slicing the file itself gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.errors import RangeBeyond
from services.gateway.http.ranges import holds, is_known, wanted

TAG = '"abc"'
DATE = "Sun, 15 Mar 2026 09:00:00 GMT"


def taken(header: str, file: bytes) -> bytes | None:
    """The bytes a header asks for; None: the whole file."""
    part = wanted(header, len(file))
    if part is None:
        return None
    assert len(file[part.start : part.end + 1]) == part.length > 0
    return file[part.start : part.end + 1]


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_range_from_start_to_end_is_that_slice(file: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(file) - 1))
    end = data.draw(st.integers(start, 200))
    assert taken(f"bytes={start}-{end}", file) == file[start : end + 1]
    assert taken(f"bytes={start}-", file) == file[start:]


@given(st.binary(min_size=1, max_size=50), st.integers(1, 200))
def test_a_suffix_is_the_end_of_the_file(file: bytes, length: int) -> None:
    assert taken(f"bytes=-{length}", file) == file[-length:]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 40))
def test_ranges_one_after_the_other_make_the_whole_file(file: bytes, step: int) -> None:
    parts = [taken(f"bytes={start}-{start + step - 1}", file) for start in range(0, len(file), step)]
    assert b"".join(part or b"" for part in parts) == file


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=99999999-", "bytes=-0", "bytes=0-1,3-4"])
def test_what_lies_beyond_the_end_or_is_several_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeBeyond) as refused:
        wanted(header, 10)
    assert refused.value.size == 10


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1"])
def test_an_empty_file_has_no_range(header: str) -> None:
    with pytest.raises(RangeBeyond):
        wanted(header, 0)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "items=0-1",
        "bytes=1",
        "bytes=٣-٤",
        "bytes=+1-2",
    ],
)
def test_what_is_no_range_is_ignored_as_the_rfc_says(header: str | None) -> None:
    assert wanted(header, 10) is None


@given(st.text(max_size=30), st.integers(0, 100))
def test_any_header_is_ignored_refused_or_a_part_of_the_file(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            part = wanted(text, size)
        except RangeBeyond:
            continue
        assert part is None or 0 <= part.start <= part.end < size


@pytest.mark.parametrize(
    ("header", "answer"),
    [(None, True), (TAG, True), (f" {TAG} ", True), (DATE, True), ('"abd"', False), (f"W/{TAG}", False), ("", False)],
)
def test_if_range_holds_for_the_same_strong_tag_or_date_only(header: str | None, answer: bool) -> None:
    assert holds(header, TAG, DATE) is answer


@pytest.mark.parametrize(
    ("header", "answer"),
    [(None, False), (TAG, True), (f'"x", {TAG}', True), (f"W/{TAG}", True), ("*", True), ('"x"', False), ("", False)],
)
def test_if_none_match_knows_lists_weak_tags_and_the_star(header: str | None, answer: bool) -> None:
    assert is_known(header, TAG) is answer
