"""Implements WebhookService: webhooks, the messages to them, and events."""

from datetime import UTC, datetime
from typing import Any

import structlog

from services.chassis.faults import BadRequest, Violation
from services.chassis.paging import from_cursor, page_size
from services.chassis.rpc.requests import missing_is_deleted
from services.chassis.timestamps import expected_time, from_timestamp
from services.delivery.errors import EventNotFound
from services.delivery.running_tests import RunningTests
from services.delivery.webhooks.event import Event, EventType, event
from services.delivery.webhooks.event_store import EventStore
from services.delivery.webhooks.message_store import MessageStore
from services.delivery.webhooks.messages import attempt_message, event_message, message_message, webhook_message
from services.delivery.webhooks.registry import Change, WebhookRegistry
from services.delivery.webhooks.relay import Relay
from services.delivery.webhooks.worker import WebhookWorker
from services.wire import webhooks_pb2 as pb
from services.wire import webhooks_pb2_grpc

log = structlog.get_logger()

MAX_REPLAYED = 1_000
"""Events of one replay; a longer time range is replayed in parts."""


class WebhookService(webhooks_pb2_grpc.WebhookServiceServicer):
    """Implements `catalog.exports.v1.WebhookService`."""

    def __init__(
        self,
        registry: WebhookRegistry,
        stores: tuple[EventStore, MessageStore],
        relay: Relay,
        worker: WebhookWorker,
    ) -> None:
        self._registry = registry
        self._events, self._messages = stores
        self._relay = relay
        self._worker = worker
        self._tests = RunningTests()

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Any) -> pb.CreateWebhookResponse:
        """Create a webhook."""
        webhook, secret, is_replay = await self._registry.create(
            request.tenant,
            request.url,
            request.events,
            is_active=request.is_active if request.HasField("is_active") else True,
            webhook_id=request.webhook_id,
        )
        if not is_replay:
            log.info("webhook_created", action="create", webhook_id=webhook.id, tenant=webhook.tenant)
        return pb.CreateWebhookResponse(webhook=webhook_message(webhook), secret=secret, is_replay=is_replay)

    async def GetWebhook(self, request: pb.GetWebhookRequest, context: Any) -> pb.GetWebhookResponse:
        """One webhook."""
        found = await self._registry.get(request.tenant, request.webhook_id)
        return pb.GetWebhookResponse(webhook=webhook_message(found))

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Any) -> pb.ListWebhooksResponse:
        """A page of a tenant's webhooks, newest first."""
        size = page_size(request.page_size)
        found = await self._registry.page(request.tenant, before=from_cursor(request.page_token), limit=size)
        following = found.next_cursor(lambda one: (one.created_at, one.id))
        return pb.ListWebhooksResponse(webhooks=map(webhook_message, found), next_page_token=following)

    async def GetWebhookUsage(self, request: pb.GetWebhookUsageRequest, context: Any) -> pb.GetWebhookUsageResponse:
        """The tenant's limit and how much of it is used."""
        used, limit = await self._registry.usage(request.tenant)
        return pb.GetWebhookUsageResponse(webhooks=used, max_webhooks=limit)

    async def UpdateWebhook(self, request: pb.UpdateWebhookRequest, context: Any) -> pb.UpdateWebhookResponse:
        """Change the fields that are present."""
        change = Change(
            url=request.url if request.HasField("url") else None,
            events=request.events.types if request.HasField("events") else None,
            is_active=request.is_active if request.HasField("is_active") else None,
        )
        changed = await self._registry.update(request.tenant, request.webhook_id, change, expected_time(request))
        return pb.UpdateWebhookResponse(webhook=webhook_message(changed))

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Any) -> pb.DeleteWebhookResponse:
        """Delete a webhook."""
        with missing_is_deleted(context):
            await self._registry.delete(request.tenant, request.webhook_id, expected_time(request))
        log.info("webhook_deleted", action="delete", webhook_id=request.webhook_id, tenant=request.tenant)
        return pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Any
    ) -> pb.RotateWebhookSecretResponse:
        """Give a webhook a new secret."""
        webhook, secret = await self._registry.rotate_secret(request.tenant, request.webhook_id)
        return pb.RotateWebhookSecretResponse(webhook=webhook_message(webhook), secret=secret)

    async def TestWebhook(self, request: pb.TestWebhookRequest, context: Any) -> pb.TestWebhookResponse:
        """Send a test request."""
        with self._tests.one_more(request.tenant):
            sent = await self._registry.test(request.tenant, request.webhook_id)
        return pb.TestWebhookResponse(attempt=attempt_message(sent))

    async def ListWebhookMessages(
        self, request: pb.ListWebhookMessagesRequest, context: Any
    ) -> pb.ListWebhookMessagesResponse:
        """A page of the messages to a webhook, newest first."""
        webhook = await self._registry.get(request.tenant, request.webhook_id)
        size, before = page_size(request.page_size), from_cursor(request.page_token)
        found = await self._messages.page(request.tenant, webhook.id, before=before, limit=size)
        following = found.next_cursor(lambda one: (one.created_at, one.id))
        return pb.ListWebhookMessagesResponse(messages=map(message_message, found), next_page_token=following)

    async def ReplayEvents(self, request: pb.ReplayEventsRequest, context: Any) -> pb.ReplayEventsResponse:
        """Send events again."""
        webhook = await self._registry.get(request.tenant, request.webhook_id)
        if not webhook.is_active:
            raise BadRequest([Violation("webhook_id", "is not active; activate the webhook first")])
        wanted = [one for one in await self._chosen(request) if one.type in webhook.events]
        count = await self._messages.send_again(webhook, wanted) if wanted else 0
        self._worker.wake()
        return pb.ReplayEventsResponse(events=count)

    async def _chosen(self, request: pb.ReplayEventsRequest) -> list[Event]:
        if request.event_id:
            if request.HasField("since") or request.HasField("until"):
                raise BadRequest([Violation("event_id", "must not be sent together with since or until")])
            one = await self._events.get(request.tenant, request.event_id)
            if one is None:
                raise EventNotFound(request.event_id)
            return [one]
        if not request.HasField("since"):
            raise BadRequest([Violation("since", "is required, unless there is an event_id")])
        since = from_timestamp(request.since, "since")
        until = from_timestamp(request.until, "until") if request.HasField("until") else datetime.now(UTC)
        found = await self._events.between(request.tenant, since, until, MAX_REPLAYED + 1)
        if len(found) > MAX_REPLAYED:
            text = f"the time range has more than {MAX_REPLAYED} events; replay it in parts"
            raise BadRequest([Violation("until", text)])
        return found

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        """A page of a tenant's events, in order."""
        if request.after < 0:
            raise BadRequest([Violation("after", "must not be negative")])
        found = await self._events.page(request.tenant, request.after, page_size(request.page_size))
        return pb.ListEventsResponse(events=map(event_message, found))

    async def RecordMissedRuns(self, request: pb.RecordMissedRunsRequest, context: Any) -> pb.RecordMissedRunsResponse:
        """Store that fire times of a schedule were missed."""
        at = from_timestamp(request.fire_at, "fire_at")
        data: dict[str, str | int | None] = {
            "schedule_id": request.schedule_id,
            "run_id": request.run_id,
            "missed": request.count,
        }
        await self._relay.record([event(EventType.SCHEDULE_MISSED, request.tenant, request.run_id, at, data)])
        return pb.RecordMissedRunsResponse()
