"""Ranges and conditions, against what slicing the file itself gives."""

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.errors import RangeNotSatisfiable
from services.gateway.http.ranges import ByteRange, is_not_modified, requested_range

TAG = '"abc"'
DATE = "Sun, 15 Mar 2026 09:00:00 GMT"


def wanted(header: str | None, size: int, if_range: str | None = None) -> ByteRange | None:
    given = {"Range": header, "If-Range": if_range}
    headers = {name: value for name, value in given.items() if value is not None}
    return requested_range(make_mocked_request("GET", "/", headers), size, etag=TAG, last_modified=DATE)


def sliced(header: str, file: bytes) -> bytes | None:
    """The bytes that a header asks for; None: the whole file."""
    part = wanted(header, len(file))
    if part is None:
        return None
    assert len(file[part.start : part.end + 1]) == part.length > 0
    return file[part.start : part.end + 1]


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_range_from_start_to_end_is_that_slice(file: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(file) - 1))
    end = data.draw(st.integers(start, 200))
    assert sliced(f"bytes={start}-{end}", file) == file[start : end + 1]
    assert sliced(f"bytes={start}-", file) == file[start:]


@given(st.binary(min_size=1, max_size=50), st.integers(1, 200))
def test_a_suffix_is_the_end_of_the_file(file: bytes, length: int) -> None:
    assert sliced(f"bytes=-{length}", file) == file[-length:]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 40))
def test_consecutive_ranges_make_the_whole_file(file: bytes, step: int) -> None:
    parts = [sliced(f"bytes={start}-{start + step - 1}", file) for start in range(0, len(file), step)]
    assert b"".join(part or b"" for part in parts) == file


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=99999999-", "bytes=-0", "bytes=0-1,3-4"])
def test_a_range_beyond_the_end_and_several_ranges_are_rejected_with_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as rejected:
        wanted(header, 10)
    assert rejected.value.size == 10


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1"])
def test_an_empty_file_has_no_range(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
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
def test_a_malformed_range_is_ignored_as_the_rfc_says(header: str | None) -> None:
    assert wanted(header, 10) is None


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30), st.integers(0, 100))
def test_any_header_is_ignored_rejected_or_a_part_of_the_file(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            part = wanted(text, size)
        except RangeNotSatisfiable:
            continue
        assert part is None or 0 <= part.start <= part.end < size


@pytest.mark.parametrize(
    ("header", "answer"),
    [(None, True), (TAG, True), (f" {TAG} ", True), (DATE, True), ('"abd"', False), (f"W/{TAG}", False), ("", False)],
)
def test_if_range_matches_only_the_same_strong_tag_or_date(header: str | None, answer: bool) -> None:
    assert (wanted("bytes=3-4", 10, if_range=header) == ByteRange(3, 4)) is answer


@pytest.mark.parametrize(
    ("header", "answer"),
    [(None, False), (TAG, True), (f'"x", {TAG}', True), (f"W/{TAG}", True), ("*", True), ('"x"', False), ("", False)],
)
def test_if_none_match_supports_lists_weak_tags_and_the_star(header: str | None, answer: bool) -> None:
    headers = {} if header is None else {"If-None-Match": header}
    assert is_not_modified(make_mocked_request("GET", "/", headers), TAG) is answer
