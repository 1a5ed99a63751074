"""The gateway's client of the delivery service's webhooks and events: typed calls, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.clients.rest_names import BRIEF_DEADLINE, RestCaller
from services.wire import webhooks_pb2 as pb
from services.wire import webhooks_pb2_grpc

TEST_DEADLINE = 30.0


class WebhookClient:
    """Calls WebhookService. Every method raises the Fault that the service returns, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = webhooks_pb2_grpc.WebhookServiceStub(channel)
        self._caller = RestCaller("delivery", deadline=deadline)

    async def create(self, request: pb.CreateWebhookRequest) -> pb.CreateWebhookResponse:
        """Create a webhook; repeated calls with the same id create one."""
        return await self._caller.call(self._stub.CreateWebhook, request)

    async def get(self, tenant: str, webhook_id: str) -> pb.Webhook:
        """One webhook."""
        request = pb.GetWebhookRequest(tenant=tenant, webhook_id=webhook_id)
        return (await self._caller.call(self._stub.GetWebhook, request)).webhook

    async def list(self, tenant: str, limit: int, cursor: str) -> pb.ListWebhooksResponse:
        """A page of webhooks."""
        request = pb.ListWebhooksRequest(tenant=tenant, page_size=limit, page_token=cursor)
        return await self._caller.call(self._stub.ListWebhooks, request)

    async def usage(self, tenant: str) -> pb.GetWebhookUsageResponse:
        """The limit and usage of webhooks, with a short deadline."""
        request = pb.GetWebhookUsageRequest(tenant=tenant)
        return await self._caller.call(self._stub.GetWebhookUsage, request, deadline=BRIEF_DEADLINE)

    async def update(self, request: pb.UpdateWebhookRequest) -> pb.Webhook:
        """Change the fields that are present."""
        return (await self._caller.call(self._stub.UpdateWebhook, request)).webhook

    async def delete(self, tenant: str, webhook_id: str, expected: Timestamp | None) -> None:
        """Delete a webhook, if it was last changed at the expected time; None: in any case."""
        request = pb.DeleteWebhookRequest(tenant=tenant, webhook_id=webhook_id, expected_updated_at=expected)
        await self._caller.call(self._stub.DeleteWebhook, request)

    async def rotate_secret(self, tenant: str, webhook_id: str) -> pb.RotateWebhookSecretResponse:
        """Give a webhook a new secret."""
        request = pb.RotateWebhookSecretRequest(tenant=tenant, webhook_id=webhook_id)
        return await self._caller.call(self._stub.RotateWebhookSecret, request)

    async def test(self, tenant: str, webhook_id: str) -> pb.WebhookAttempt:
        """Send a test request to a webhook."""
        request = pb.TestWebhookRequest(tenant=tenant, webhook_id=webhook_id)
        return (await self._caller.call(self._stub.TestWebhook, request, deadline=TEST_DEADLINE)).attempt

    async def messages(self, tenant: str, webhook_id: str, limit: int, cursor: str) -> pb.ListWebhookMessagesResponse:
        """A page of the messages to a webhook."""
        request = pb.ListWebhookMessagesRequest(
            tenant=tenant, webhook_id=webhook_id, page_size=limit, page_token=cursor
        )
        return await self._caller.call(self._stub.ListWebhookMessages, request)

    async def replay(self, request: pb.ReplayEventsRequest) -> int:
        """Send events again; returns how many."""
        return (await self._caller.call(self._stub.ReplayEvents, request)).events

    async def events(self, tenant: str, after: int, limit: int) -> pb.ListEventsResponse:
        """A page of events, in order."""
        request = pb.ListEventsRequest(tenant=tenant, after=after, page_size=limit)
        return await self._caller.call(self._stub.ListEvents, request)
