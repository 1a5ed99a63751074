"""Positions in lists that are ordered by a time and an id, as opaque text."""

import base64
import binascii
from datetime import UTC, datetime


def to_cursor(at: datetime, last: str) -> str:
    """The position after the item of this time (whole milliseconds, as MongoDB keeps it) and id."""
    millis = round(at.timestamp() * 1_000)
    return base64.urlsafe_b64encode(f"{millis}/{last}".encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> tuple[datetime, str] | None:
    """The position a cursor stands for; None for the beginning.

    Raises:
        ValueError: it is none of ours.
    """
    if not cursor:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        millis, last = text.split("/", 1)
        return datetime.fromtimestamp(int(millis) / 1_000, UTC), last
    except (ValueError, binascii.Error, OverflowError, OSError) as exc:
        raise ValueError("not a cursor") from exc
