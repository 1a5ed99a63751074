"""Times and durations to and from protobuf. All times are UTC."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.faults import BadRequest, Violation


def to_timestamp(at: datetime | None) -> Timestamp | None:
    """The message of a time; None, which leaves a field unset, for None."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def from_timestamp(stamp: Timestamp, field: str) -> datetime:
    """The time of a message.

    Raises:
        BadRequest: out of range; names `field`.
    """
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadRequest([Violation(field, "is not a time between the years 1 and 9999")]) from exc


def optional_time(stamp: Timestamp, field: str) -> datetime | None:
    """The time of a message that may be unset; raises as `from_timestamp`."""
    return from_timestamp(stamp, field) if stamp.ByteSize() else None


def expected_time(request: Any) -> datetime | None:
    """The `expected_updated_at` of a request; raises as `from_timestamp`."""
    return optional_time(request.expected_updated_at, "expected_updated_at")


def to_duration(seconds: float) -> Duration:
    """The message of a number of seconds."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1_000_000_000))
    return duration


def now_in_milliseconds() -> datetime:
    """Now, as MongoDB stores it."""
    return in_milliseconds(datetime.now(UTC))


def in_milliseconds(at: datetime) -> datetime:
    """A time as MongoDB stores it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def rfc3339(at: datetime) -> str:
    """RFC 3339 in UTC with `Z`, always with milliseconds, so that times compare as text."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
