"""Turns new events into messages to the webhooks that ask for them.

Every step can be repeated: an event keeps its number, a message is stored once, and an event stays new until all its
messages are stored.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from services.chassis import loops
from services.delivery.webhooks.event import Event
from services.delivery.webhooks.event_store import BATCH, EventStore
from services.delivery.webhooks.message_store import MessageStore
from services.delivery.webhooks.store import WebhookStore
from services.delivery.webhooks.webhook import Webhook

log = structlog.get_logger()

CONCURRENCY = 8


class Relay:
    """Stores events, and the messages about them.

    Args:
        wake: called after messages were stored.
    """

    def __init__(
        self, events: EventStore, webhooks: WebhookStore, messages: MessageStore, *, wake: Callable[[], None]
    ) -> None:
        self._events = events
        self._webhooks = webhooks
        self._messages = messages
        self._wake = wake
        self.recorded = asyncio.Event()
        """Set when there may be new events."""

    async def record(self, events: Sequence[Event]) -> None:
        """Store events; those that are stored already stay as they are."""
        if events and await self._events.record(events):
            self.recorded.set()

    async def relay(self) -> int:
        """Store the messages about all new events of tenants with webhooks; returns how many messages."""
        waiting = await self._events.tenants_with_new(await self._webhooks.tenants())
        return sum(await loops.for_each("webhooks", waiting, self._relay_tenant, concurrency=CONCURRENCY))

    async def _relay_tenant(self, tenant: str) -> int:
        stored = 0
        while events := await self._events.new(tenant):
            webhooks = await self._webhooks.active(tenant)
            wanted = [(webhook, event) for event in events for webhook in webhooks if _wants(webhook, event)]
            stored += await self._messages.add(wanted)
            await self._events.done(events)
            if wanted:
                self._wake()
            if len(events) < BATCH:
                break
        return stored


def _wants(webhook: Webhook, event: Event) -> bool:
    """Whether the webhook asks for events of this type, and was active when this one was stored."""
    is_later = event.stored_at is not None and event.stored_at >= webhook.active_since
    return event.type in webhook.events and is_later
