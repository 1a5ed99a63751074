# Generated from ../aio by `make client`; do not edit.
"""Webhooks, and the events that they report."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from catalog_exports.client.errors import parsed
from catalog_exports.client.models import (
    Event,
    EventPage,
    Replayed,
    Webhook,
    WebhookAttempt,
    WebhookMessage,
    WebhookWithSecret,
)
from catalog_exports.client.sync.http import Http, segment

ALL = "/webhooks"


class Webhooks:
    """`client.webhooks`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self, url: str, events: Sequence[str], *, is_active: bool = True, idempotency_key: str | None = None
    ) -> WebhookWithSecret:
        """Create a webhook; `secret` of the answer is shown only here."""
        body = {"url": url, "events": list(events), "is_active": is_active}
        answer = self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(WebhookWithSecret, answer)

    def get(self, webhook_id: str) -> Webhook:
        """One webhook."""
        return self._http.get(f"{ALL}/{segment(webhook_id)}", Webhook)

    def list(self, *, limit: int | None = None) -> Iterator[Webhook]:
        """Webhooks, newest first."""
        for webhook in self._http.pages(ALL, Webhook, {}, limit):
            yield webhook

    def update(self, webhook_id: str, **fields: Any) -> Webhook:
        """Change `url`, `events` or `is_active`; activating a paused webhook gives it a new chance."""
        answer = self._http.call("PATCH", f"{ALL}/{segment(webhook_id)}", body=fields)
        return parsed(Webhook, answer)

    def rotate_secret(self, webhook_id: str) -> WebhookWithSecret:
        """Give it a new secret, which is in the answer; for a day, requests are signed with the old one too."""
        return parsed(WebhookWithSecret, self._http.call("POST", f"{ALL}/{segment(webhook_id)}/rotate-secret"))

    def test(self, webhook_id: str) -> WebhookAttempt:
        """Send a test request. A failed request is a result, not an exception."""
        return parsed(WebhookAttempt, self._http.call("POST", f"{ALL}/{segment(webhook_id)}/test"))

    def deliveries(self, webhook_id: str, *, limit: int | None = None) -> Iterator[WebhookMessage]:
        """What was sent to it, newest first."""
        for message in self._http.pages(f"{ALL}/{segment(webhook_id)}/deliveries", WebhookMessage, {}, limit):
            yield message

    def replay(
        self,
        webhook_id: str,
        *,
        event_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """Send one event again, or those of a time range; returns how many."""
        given = {"event_id": event_id, "since": since and since.isoformat(), "until": until and until.isoformat()}
        body = {name: value for name, value in given.items() if value is not None}
        answer = self._http.call("POST", f"{ALL}/{segment(webhook_id)}/replay", body=body)
        return parsed(Replayed, answer).events

    def delete(self, webhook_id: str) -> None:
        """Delete it; what waits for it is not sent."""
        self._http.call("DELETE", f"{ALL}/{segment(webhook_id)}")


class Events:
    """`client.events`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, after: int = 0) -> Iterator[Event]:
        """The events that follow the number `after`, in order, up to the newest one; `sequence` is their number."""
        while True:
            answer = self._http.call("GET", "/events", query={"after": str(after), "limit": "200"})
            page = parsed(EventPage, answer)
            for event in page.items:
                yield event
            if not page.items:
                return
            after = page.next_after
