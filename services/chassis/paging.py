"""Keyset pages of lists that are ordered by a time and an id: sizes, cursors and positions. Pure."""

import base64
import binascii
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from services.chassis.faults import BadRequest, Violation

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""Stored size of a page's items, except that a page has at least one. gRPC takes no message of more than 4 MiB."""

Item = TypeVar("Item")
Other = TypeVar("Other")
Position = tuple[datetime, str]
"""Time and id of an item. Times are in whole milliseconds, as MongoDB stores them."""


def page_size(
    requested: int, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAX_PAGE_SIZE, field: str = "page_size"
) -> int:
    """How many items a page has: `default` for 0, and never more than `maximum`.

    Raises:
        BadRequest: the requested size is negative; names `field`.
    """
    if requested < 0:
        raise BadRequest([Violation(field, "must not be negative")])
    return min(requested or default, maximum)


class Page(list[Item]):
    """Items of a list, and whether there are more after them."""

    def __init__(self, items: Iterable[Item], *, has_more: bool) -> None:
        super().__init__(items)
        self.has_more = has_more

    def converted(self, convert: Callable[[Item], Other]) -> "Page[Other]":
        """The page with each item converted."""
        return Page(map(convert, self), has_more=self.has_more)

    def next_cursor(self, position: Callable[[Item], Position]) -> str:
        """The cursor of the next page; empty when this is the last."""
        return to_cursor(*position(self[-1])) if self.has_more else ""


def to_cursor(at: datetime, item_id: str) -> str:
    """The position after the item with this time and id, as opaque text."""
    millis = round(at.timestamp() * 1_000)
    return base64.urlsafe_b64encode(f"{millis}/{item_id}".encode()).decode().rstrip("=")


def from_cursor(cursor: str, *, field: str = "page_token") -> Position | None:
    """The position of a cursor; None for the first page.

    Raises:
        BadRequest: not a cursor of `to_cursor`; names `field`.
    """
    if not cursor:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        millis, item_id = text.split("/", 1)
        return datetime.fromtimestamp(int(millis) / 1_000, UTC), item_id
    except (ValueError, binascii.Error, OverflowError, OSError) as exc:
        raise BadRequest([Violation(field, "is not a cursor of this list; start without one")]) from exc
