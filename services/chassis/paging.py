"""Keyset pages of lists that are ordered by a time and an id: sizes, cursors and positions. Pure."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from services.chassis.faults import BadRequest, Violation

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

Item = TypeVar("Item")
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


def cut(found: Sequence[Item], size: int, position: Callable[[Item], Position]) -> tuple[Sequence[Item], str]:
    """A page, and the cursor of the next one (empty when this is the last).

    Args:
        found: up to `size + 1` items; the additional one only shows that there is a next page.
    """
    page = found[:size]
    return page, to_cursor(*position(page[-1])) if len(found) > size else ""


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
