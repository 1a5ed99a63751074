"""Page sizes and cursors."""

from datetime import UTC, datetime

import pytest

from services.chassis.faults import BadRequest
from services.chassis.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Page, from_cursor, page_size, to_cursor

AT = datetime(2026, 3, 15, 9, 30, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("requested", "size"), [(0, DEFAULT_PAGE_SIZE), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE), (10**6, MAX_PAGE_SIZE)]
)
def test_a_page_size_has_a_default_and_is_capped(requested: int, size: int) -> None:
    assert page_size(requested) == size


def test_a_negative_page_size_is_rejected_by_its_field() -> None:
    with pytest.raises(BadRequest) as rejected:
        page_size(-1, field="limit")
    assert [violation.field for violation in rejected.value.violations] == ["limit"]


def test_a_cursor_round_trips() -> None:
    assert from_cursor(to_cursor(AT, "a/b")) == (AT, "a/b")
    assert from_cursor("") is None


@pytest.mark.parametrize(
    "cursor", ["x", "!!!!", "bm90IGEgY3Vyc29y", to_cursor(AT, "a")[3:], "OTk5OTk5OTk5OTk5OTk5OTk5L2E"]
)
def test_an_invalid_cursor_is_rejected(cursor: str) -> None:
    with pytest.raises(BadRequest):
        from_cursor(cursor)


def test_a_page_has_a_cursor_only_when_more_follow() -> None:
    assert Page(["a", "b"], has_more=False).next_cursor(lambda item: (AT, item)) == ""
    assert Page(["a", "b"], has_more=True).next_cursor(lambda item: (AT, item)) == to_cursor(AT, "b")
    assert Page([1, 2], has_more=True).converted(str).next_cursor(lambda item: (AT, item)) == to_cursor(AT, "2")
