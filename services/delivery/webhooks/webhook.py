"""A webhook: an endpoint of a tenant that gets requests about events, and one message to it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.delivery.platforms.secrets import Sealed

RETRY_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Pauses between the attempts of a message, about three days in all. Source: Standard Webhooks 1.0, "Deliverability and
reliability"."""
MAX_ATTEMPTS = len(RETRY_SECONDS) + 1
MAX_RETRY_AFTER = 86_400.0
"""The longest pause that an endpoint may ask for."""
OVERLAP = timedelta(hours=24)
"""How long requests are signed with the previous secret too after a rotation."""
PATIENCE = timedelta(days=5)
"""How long every request may fail before the webhook is paused."""


class PauseReason(StrEnum):
    """Why the service has paused a webhook."""

    FAILING = "failing"
    """Every request has failed for days."""
    GONE = "gone"
    """The endpoint has answered 410."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as stored."""

    id: str
    tenant: str
    url: str
    events: tuple[str, ...]
    is_active: bool
    secret: Sealed
    created_at: datetime
    updated_at: datetime
    active_since: datetime
    """Events that were stored earlier are not reported to it."""
    previous_secret: Sealed | None = None
    rotated_at: datetime | None = None
    failing_since: datetime | None = None
    """When the first of the requests was made that have failed without a success since."""
    paused_at: datetime | None = None
    pause_reason: str = ""
    request_hash: str = ""
    """Of the request that has created it."""
    version: int = 1
    """Counts changes, so that concurrent changes do not overwrite each other."""


class MessageState(StrEnum):
    """The states of a message."""

    PENDING = "pending"
    """It waits for its next attempt, or is being sent."""
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and how it ended.

    Args:
        status: of the response; 0 when there was none.
        error: why the request failed; empty when it succeeded.
    """

    at: datetime
    status: int
    seconds: float
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint has accepted the event."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Message:
    """An event that is to be reported to a webhook, or was."""

    id: str
    tenant: str
    webhook_id: str
    event_id: str
    type: str
    body: str
    state: MessageState
    created_at: datetime
    attempt: int = 0
    attempts: tuple[Sent, ...] = ()
    due_at: datetime | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered to one request.

    Args:
        retry_after: seconds that it asks to wait; None when it does not.
    """

    sent: Sent
    retry_after: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants no more requests."""
        return self.sent.status == 410


def pause_after(attempt: int, retry_after: float | None, random: float) -> float | None:
    """Seconds until the attempt after number `attempt` (from 1); None when there is none.

    Args:
        random: 0 to 1, adds up to a tenth, so that many messages do not come at the same time.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    pause = RETRY_SECONDS[attempt - 1] * (1 + random / 10)
    return max(pause, min(retry_after or 0.0, MAX_RETRY_AFTER))
