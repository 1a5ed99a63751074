"""A delivery: one job's file sent to one platform, with its states, attempts and receipt. Pure.

pending → sending → verifying → delivered
          sending, verifying → retry_wait → sending
pending, sending, verifying, retry_wait → failed
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from services.chassis.faults import ErrorInfo


class DeliveryState(StrEnum):
    """The states of a delivery's document in MongoDB."""

    PENDING = "pending"
    SENDING = "sending"
    VERIFYING = "verifying"
    RETRY_WAIT = "retry_wait"
    DELIVERED = "delivered"
    FAILED = "failed"


HELD = frozenset({DeliveryState.SENDING, DeliveryState.VERIFYING})
ENDED = frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED})
LIVE = frozenset(DeliveryState) - ENDED

NAMESPACE = uuid.UUID("5b2ff0bb-8f5c-5c4e-9f5e-3d6a7c1d9e42")


def delivery_ids(job_id: str, created_at: datetime, platform_id: str) -> tuple[str, str]:
    """The ids that a delivery may have; they are fixed, so that a repeated completion creates no second delivery.

    The first one is of job and platform alone, as all versions make it. If it belongs to an earlier job, which was
    deleted and requested again under its idempotency key, the second one is used, which contains the job's time.
    """
    names = (f"{job_id}/{platform_id}", f"{job_id}/{created_at.astimezone(UTC):%Y%m%dT%H%M%S.%f}/{platform_id}")
    first, second = (str(uuid.uuid5(NAMESPACE, name)) for name in names)
    return first, second


@dataclass(frozen=True, slots=True)
class File:
    """The job's artifact, and the values for its name at a destination."""

    key: str
    name: str
    extension: str
    media_type: str
    size: int
    """Bytes."""
    sha256: str
    format: str
    schedule_name: str
    created_at: datetime
    """Of the job."""
    base_job_id: str = ""
    """Of a file with changes: the job that it is based on; empty for a file with all rows."""
    base_sha256: str = ""
    changes_number: int = 0
    """In the chain of files with changes."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the destination holds after a delivery."""

    remote: str
    url: str
    size: int
    sha256: str
    reported: Mapping[str, str]
    seconds: float
    was_there: bool


INTERRUPTED = ErrorInfo("interrupted", "The attempt was interrupted: its process was killed or cut off.")
PLATFORM_DELETED = ErrorInfo("platform_deleted", "The platform was deleted.")
PLATFORM_INACTIVE = ErrorInfo("platform_inactive", "The platform is not active; activate it and retry the delivery.")
PLATFORM_NOT_FOUND = ErrorInfo("platform_not_found", "The export names a platform that does not exist.")


@dataclass(slots=True)
class Progress:
    """How far an attempt is, for its heartbeat."""

    sent: int = 0
    """Bytes the destination has."""
    is_verifying: bool = False
    """The destination has all bytes and checks them."""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that ended; without an error, it delivered."""

    started_at: datetime
    ended_at: datetime
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class End:
    """An end of a delivery that is to be recorded as an event; `code` is of the error, if it failed."""

    state: DeliveryState
    at: datetime
    code: str = ""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to store."""

    tenant: str
    job_id: str
    platform_id: str
    platform_name: str
    platform_type: str
    file: File
    max_attempts: int
    request_id: str = ""
    traceparent: str = ""
    request_key: str = ""
    """Idempotency key of the request for it; empty if there was none."""

    @property
    def ids(self) -> tuple[str, str]:
        """See `delivery_ids`."""
        return delivery_ids(self.job_id, self.file.created_at, self.platform_id)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it is stored."""

    id: str
    tenant: str
    job_id: str
    platform_id: str
    platform_name: str
    platform_type: str
    file: File
    state: DeliveryState
    created_at: datetime
    updated_at: datetime
    remote_name: str | None = None
    """Final name at the destination, stored before anything is sent."""
    bytes_sent: int = 0
    receipt: Receipt | None = None
    attempts: tuple[PastAttempt, ...] = ()
    error: ErrorInfo | None = None
    delivered_at: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    """Of the current attempt."""
    fence: int = 0
    attempt: int = 0
    max_attempts: int = 1
    request_id: str = ""
    traceparent: str = ""
    """W3C trace context in which it was created; all its attempts belong to that trace."""
    ends: tuple[End, ...] = ()
    """Those that are still to be recorded; several if it was restarted meanwhile."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Values that the destination keeps from attempt to attempt, encrypted."""

    @property
    def is_takeover(self) -> bool:
        """Whether the current attempt was claimed because the previous one's lease ran out."""
        last = self.attempts[-1].error if self.attempts else None
        return last is not None and last.code == INTERRUPTED.code
