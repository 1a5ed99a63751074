"""Events: what has happened to a tenant's exports, deliveries and schedules, in the form that receivers get. Pure.

The envelope is that of Standard Webhooks 1.0. The data is only ids, state and counts. It has no links that work without
a key, because receivers may log events and keep the logs.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.chassis.timestamps import rfc3339

NAMESPACE = uuid.UUID("2f0a64a4-7a53-5e0d-9a3b-54a7b1c0e7d1")
Data = Mapping[str, str | int]


class EventType(StrEnum):
    """The events that a webhook can ask for."""

    EXPORT_COMPLETED = "export.completed"
    EXPORT_FAILED = "export.failed"
    EXPORT_CANCELLED = "export.cancelled"
    DELIVERY_DELIVERED = "delivery.delivered"
    DELIVERY_FAILED = "delivery.failed"
    SCHEDULE_MISSED = "schedule.missed"


TEST = "webhook.test"
"""The type of the request that a test sends; no event has it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened.

    Args:
        id: derived from what has happened, so that reporting it twice stores it once.
        sequence: place among the tenant's events, from 1; None until it is numbered.
        stored_at: by the clock of the database; None before.
    """

    id: str
    tenant: str
    type: str
    at: datetime
    data: Data
    sequence: int | None = None
    stored_at: datetime | None = None


def event(kind: EventType, tenant: str, subject: str, at: datetime, data: Mapping[str, str | int | None]) -> Event:
    """The event that `kind` has happened to the resource with the id `subject`; values that are None are left out."""
    at = at.astimezone(UTC)
    made = uuid.uuid5(NAMESPACE, f"{kind}/{tenant}/{subject}/{at:%Y%m%dT%H%M%S.%f}")
    return Event(f"evt_{made.hex}", tenant, kind.value, at, {n: v for n, v in data.items() if v is not None})


def body(kind: str, at: datetime, data: Data, sequence: int | None = None) -> str:
    """The body of the request that reports an event."""
    envelope: dict[str, object] = {"type": kind, "timestamp": rfc3339(at), "data": dict(data)}
    if sequence is not None:
        envelope["sequence"] = sequence
    return json.dumps(envelope, separators=(",", ":"))
