"""Webhooks and events in REST: bodies of requests, and answers made of the delivery service's messages."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field
from typing_extensions import TypeAliasType

from services.gateway.answers.described import Code, Count, FormatName, Id, Seconds
from services.gateway.answers.described import Url as Uri
from services.gateway.answers.jobs import at, optional_at
from services.gateway.answers.models import Answer, Instant, Page
from services.gateway.answers.platforms import Active, Body
from services.wire import webhooks_pb2 as pb

EventType = TypeAliasType(
    "EventType",
    Literal[
        "export.completed",
        "export.failed",
        "export.cancelled",
        "delivery.delivered",
        "delivery.failed",
        "schedule.missed",
    ],
)
MessageStatus = Literal["pending", "delivered", "failed"]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_000,
        json_schema_extra={"format": "uri"},
        description="https, without user name and password.",
    ),
]
Events = Annotated[list[EventType], Field(min_length=1, description="The events that are reported.")]
MESSAGE_STATUSES: dict[pb.WebhookMessageState.ValueType, MessageStatus] = {
    pb.WEBHOOK_MESSAGE_STATE_PENDING: "pending",
    pb.WEBHOOK_MESSAGE_STATE_DELIVERED: "delivered",
    pb.WEBHOOK_MESSAGE_STATE_FAILED: "failed",
}


class NewWebhook(Body):
    """A webhook to create."""

    url: Url
    events: Events
    is_active: Active = True


class WebhookChange(Body):
    """What is to change of a webhook; what is absent stays."""

    url: Url | None = None
    events: Events | None = None
    is_active: Active | None = Field(default=None, description="true gives a paused webhook a new chance.")


class Replay(Body):
    """The events to send again: one, or those of a time range."""

    event_id: str | None = Field(default=None, max_length=100)
    since: AwareDatetime | None = Field(default=None, description="Events that happened at this time or later.")
    until: AwareDatetime | None = Field(default=None, description="Events that happened before. Default: now.")


class Webhook(Answer):
    """A webhook, without its secret."""

    id: Id
    url: Uri
    events: list[EventType]
    is_active: bool
    created_at: Instant
    updated_at: Instant
    failing_since: Instant | None = Field(default=None, description="Since when every request has failed.")
    paused_at: Instant | None = Field(default=None, description="When the service has paused it.")
    pause_reason: Literal["failing", "gone"] | None = Field(
        default=None, description="Every request failed for days, or the endpoint answered 410."
    )
    previous_secret_expires_at: Instant | None = Field(default=None, description="After a rotation.")


class WebhookWithSecret(Webhook):
    """A webhook that was just created, or whose secret was rotated."""

    secret: str = Field(description="`whsec_…`, which no other response shows.")


class WebhookPage(Page[Webhook]):
    """Webhooks, newest first."""


class WebhookAttempt(Answer):
    """One request and how it ended."""

    sent_at: Instant
    status_code: int | None = Field(default=None, description="Of the response; absent when there was none.")
    seconds: Seconds
    ok: bool
    error: str | None = None


class WebhookMessage(Answer):
    """An event that was, or is to be, reported to a webhook."""

    event_id: str = Field(description="Also the header `webhook-id`.")
    type: EventType
    status: MessageStatus
    attempts: list[WebhookAttempt] = Field(description="The last ones, oldest first.")
    created_at: Instant
    next_attempt_at: Instant | None = None


class WebhookMessagePage(Page[WebhookMessage]):
    """Messages to a webhook, newest first."""


class Replayed(Answer):
    """How many events are sent again."""

    events: Count


class EventData(Answer):
    """What an event is about; fields that do not apply to its type are absent."""

    model_config = ConfigDict(extra="allow")

    job_id: Id | None = None
    schedule_id: Id | None = None
    profile_id: Id | None = None
    profile_version: Count | None = None
    run_id: Id | None = None
    delivery_id: Id | None = None
    platform_id: Id | None = None
    status: str | None = Field(default=None, description="Of the job or the delivery.")
    format: FormatName | None = None
    total_records: Count | None = None
    size: Count | None = Field(default=None, description="Bytes of the file.")
    error_code: Code | None = Field(default=None, description="Why it has failed for good.")
    missed: Count | None = Field(default=None, description="How many times a schedule has missed.")


class Event(Answer):
    """Something that has happened."""

    id: str
    type: EventType
    sequence: Count = Field(description="Place among the tenant's events, from 1.")
    timestamp: Instant
    data: EventData


class ReportedEvent(Answer):
    """The body of a request to a webhook."""

    type: EventType | Literal["webhook.test"]
    sequence: Count | None = Field(default=None, description="As in the list of events; absent in a test.")
    timestamp: Instant
    data: EventData


class EventPage(Answer):
    """Events in order."""

    items: list[Event]
    next_after: Count = Field(
        description="The value of `after` for the events that follow, also if there are none yet."
    )


def webhook(found: pb.Webhook) -> Webhook:
    """A webhook."""
    return Webhook(**_fields(found))


def with_secret(found: pb.Webhook, secret: str) -> WebhookWithSecret:
    """A webhook and its secret."""
    return WebhookWithSecret(**_fields(found), secret=secret)


def _fields(found: pb.Webhook) -> dict[str, Any]:
    expires = optional_at(found, "previous_secret_expires_at")
    return {
        "id": found.id,
        "url": found.url,
        "events": list(found.events),
        "is_active": found.is_active,
        "created_at": at(found.created_at),
        "updated_at": at(found.updated_at),
        "failing_since": optional_at(found, "failing_since"),
        "paused_at": optional_at(found, "paused_at"),
        "pause_reason": found.pause_reason or None,
        "previous_secret_expires_at": expires if expires is not None and expires > datetime.now(UTC) else None,
    }


def attempt(found: pb.WebhookAttempt) -> WebhookAttempt:
    """One request and how it ended."""
    return WebhookAttempt(
        sent_at=at(found.sent_at),
        status_code=found.status_code or None,
        seconds=round(found.duration.ToTimedelta().total_seconds(), 3),
        ok=not found.error,
        error=found.error or None,
    )


def message(found: pb.WebhookMessage) -> WebhookMessage:
    """A message to a webhook."""
    return WebhookMessage(
        event_id=found.event_id,
        type=found.type,
        status=MESSAGE_STATUSES[found.state],
        attempts=[attempt(one) for one in found.attempts],
        created_at=at(found.created_at),
        next_attempt_at=optional_at(found, "next_attempt_at"),
    )


def event(found: pb.Event) -> Event:
    """An event."""
    return Event(
        id=found.id,
        type=found.type,
        sequence=found.sequence,
        timestamp=at(found.happened_at),
        data=EventData.model_validate_json(found.data_json),
    )
