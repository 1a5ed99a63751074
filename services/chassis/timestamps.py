"""Times and durations to and from protobuf. All times are UTC."""

from datetime import UTC, datetime

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


def to_duration(seconds: float) -> Duration:
    """The message of a number of seconds."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1_000_000_000))
    return duration
