"""Webhooks, and the events that they report."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from catalog_exports.client.aio.http import AsyncHttp, segment
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

ALL = "/webhooks"


class AsyncWebhooks:
    """`client.webhooks`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self, url: str, events: Sequence[str], *, is_active: bool = True, idempotency_key: str | None = None
    ) -> WebhookWithSecret:
        """Create a webhook; `secret` of the answer is shown only here."""
        body = {"url": url, "events": list(events), "is_active": is_active}
        answer = await self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(WebhookWithSecret, answer)

    async def get(self, webhook_id: str) -> Webhook:
        """One webhook."""
        return await self._http.get(f"{ALL}/{segment(webhook_id)}", Webhook)

    async def list(self, *, limit: int | None = None) -> AsyncIterator[Webhook]:
        """Webhooks, newest first."""
        async for webhook in self._http.pages(ALL, Webhook, {}, limit):
            yield webhook

    async def update(self, webhook_id: str, **fields: Any) -> Webhook:
        """Change `url`, `events` or `is_active`; activating a paused webhook gives it a new chance."""
        answer = await self._http.call("PATCH", f"{ALL}/{segment(webhook_id)}", body=fields)
        return parsed(Webhook, answer)

    async def rotate_secret(self, webhook_id: str) -> WebhookWithSecret:
        """Give it a new secret, which is in the answer; for a day, requests are signed with the old one too."""
        return parsed(WebhookWithSecret, await self._http.call("POST", f"{ALL}/{segment(webhook_id)}/rotate-secret"))

    async def test(self, webhook_id: str) -> WebhookAttempt:
        """Send a test request. A failed request is a result, not an exception."""
        return parsed(WebhookAttempt, await self._http.call("POST", f"{ALL}/{segment(webhook_id)}/test"))

    async def deliveries(self, webhook_id: str, *, limit: int | None = None) -> AsyncIterator[WebhookMessage]:
        """What was sent to it, newest first."""
        async for message in self._http.pages(f"{ALL}/{segment(webhook_id)}/deliveries", WebhookMessage, {}, limit):
            yield message

    async def replay(
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
        answer = await self._http.call("POST", f"{ALL}/{segment(webhook_id)}/replay", body=body)
        return parsed(Replayed, answer).events

    async def delete(self, webhook_id: str) -> None:
        """Delete it; what waits for it is not sent."""
        await self._http.call("DELETE", f"{ALL}/{segment(webhook_id)}")


class AsyncEvents:
    """`client.events`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, *, after: int = 0) -> AsyncIterator[Event]:
        """The events that follow the number `after`, in order, up to the newest one; `sequence` is their number."""
        while True:
            answer = await self._http.call("GET", "/events", query={"after": str(after), "limit": "200"})
            page = parsed(EventPage, answer)
            for event in page.items:
                yield event
            if not page.items:
                return
            after = page.next_after
