"""What becomes of requests that fail, and how events are stored and numbered."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import mongo
from services.delivery.platforms.secrets import Unsealable, vault_of
from services.delivery.rotate import rotate_webhooks
from services.delivery.webhooks.event import Event, EventType, event
from services.delivery.webhooks.event_store import EventStore
from services.delivery.webhooks.secrets import WebhookSecrets
from services.delivery.webhooks.store import WebhookStore
from services.wire import webhooks_pb2 as pb
from services.wire import webhooks_pb2_grpc
from tests.integration.delivering import Deliverer, OpenShop, master_keys
from tests.integration.exporting import DEADLINE, eventually, new_tenant
from tests.webhook_receiver import Receiver, receiver

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


class Hooks:
    """A tenant's webhook to the endpoint."""

    def __init__(self, stub: webhooks_pb2_grpc.WebhookServiceAsyncStub, deliverer: Deliverer, tenant: str) -> None:
        self.stub, self.tenant, self.id = stub, tenant, ""
        self.database = deliverer.database

    async def create(self, endpoint: Receiver) -> None:
        """Create the webhook."""
        request = pb.CreateWebhookRequest(tenant=self.tenant, url=endpoint.url, events=["schedule.missed"])
        made = await self.stub.CreateWebhook(request, timeout=DEADLINE)
        endpoint.secrets.append(made.secret)
        self.id = made.webhook.id

    async def record(self, number: int = 0) -> None:
        """Record an event."""
        request = pb.RecordMissedRunsRequest(
            tenant=self.tenant,
            schedule_id="00000000-0000-4000-8000-000000000001",
            run_id=f"run-{number}",
            fire_at=Timestamp(seconds=int(AT.timestamp())),
            count=3,
        )
        await self.stub.RecordMissedRuns(request, timeout=DEADLINE)

    async def get(self) -> pb.Webhook:
        """The webhook as it is now."""
        request = pb.GetWebhookRequest(tenant=self.tenant, webhook_id=self.id)
        return (await self.stub.GetWebhook(request, timeout=DEADLINE)).webhook

    async def messages(self) -> list[pb.WebhookMessage]:
        """What was sent, newest first."""
        request = pb.ListWebhookMessagesRequest(tenant=self.tenant, webhook_id=self.id)
        return list((await self.stub.ListWebhookMessages(request, timeout=DEADLINE)).messages)

    async def attempted(self, times: int) -> pb.WebhookMessage:
        """The only message after so many attempts."""

        async def done() -> pb.WebhookMessage | None:
            found = await self.messages()
            return found[0] if found and len(found[0].attempts) >= times else None

        found: pb.WebhookMessage = await eventually(f"{times} attempts", done)
        return found

    async def due_now(self) -> None:
        """Let the time of the next attempts come."""
        await self.database["webhook_messages"].update_many(
            {"webhook_id": self.id, "due_at": {"$exists": True}}, [{"$set": {"due_at": "$$NOW"}}]
        )


@asynccontextmanager
async def hooks(open_shop: OpenShop, endpoint: Receiver) -> AsyncIterator[Hooks]:
    async with open_shop() as shop:
        address = f"127.0.0.1:{shop.deliverer.running.rpc_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            made = Hooks(webhooks_pb2_grpc.WebhookServiceStub(channel), shop.deliverer, new_tenant())
            await made.create(endpoint)
            yield made


async def test_a_failed_request_is_repeated_under_its_id_until_it_succeeds(
    open_shop: OpenShop, endpoint: Receiver
) -> None:
    async with hooks(open_shop, endpoint) as hook:
        endpoint.status = 500
        await hook.record()
        await hook.record()  # the same event
        first = await hook.attempted(1)
        assert 4 < first.next_attempt_at.seconds - first.attempts[0].sent_at.seconds < 8
        assert (await hook.get()).HasField("failing_since")
        endpoint.headers = {"Retry-After": "1000"}
        await hook.due_now()
        second = await hook.attempted(2)
        assert 990 < second.next_attempt_at.seconds - second.attempts[1].sent_at.seconds < 1_010, "it was asked to wait"
        endpoint.status, endpoint.headers = 200, {}
        await hook.due_now()
        third = await hook.attempted(3)
        assert [attempt.status_code for attempt in third.attempts] == [500, 500, 200]
        assert third.state == pb.WEBHOOK_MESSAGE_STATE_DELIVERED
        [request] = endpoint.requests
        assert (request.id, request.body["data"]["missed"]) == (third.event_id, 3)
        assert len(request.signed_by) == 1
        assert not (await hook.get()).HasField("failing_since")


async def test_an_endpoint_that_is_gone_is_not_asked_again(open_shop: OpenShop, endpoint: Receiver) -> None:
    async with hooks(open_shop, endpoint) as hook:
        endpoint.status = 410
        await hook.record()

        async def paused() -> pb.Webhook | None:
            found = await hook.get()
            return None if found.is_active else found

        found: pb.Webhook = await eventually("it is paused", paused)
        assert found.pause_reason == "gone"
        [message] = await hook.messages()
        assert (message.state, len(message.attempts)) == (pb.WEBHOOK_MESSAGE_STATE_FAILED, 1)


async def test_an_endpoint_that_fails_for_days_is_paused_until_it_is_activated(
    open_shop: OpenShop, endpoint: Receiver
) -> None:
    async with hooks(open_shop, endpoint) as hook:
        endpoint.status = 503
        for number in range(2):
            await hook.record(number)
        await eventually("both are tried", lambda: _all_tried(hook, 2))
        long_ago = datetime.now(UTC) - timedelta(days=6)
        await hook.database["webhooks"].update_one({"_id": hook.id}, {"$set": {"failing_since": long_ago}})
        await hook.due_now()

        async def paused() -> pb.Webhook | None:
            found = await hook.get()
            return None if found.is_active else found

        found: pb.Webhook = await eventually("it is paused", paused)
        assert found.pause_reason == "failing"
        await eventually("nothing waits", lambda: _none_waits(hook))
        endpoint.status = 200
        request = pb.UpdateWebhookRequest(tenant=hook.tenant, webhook_id=hook.id, is_active=True)
        activated = (await hook.stub.UpdateWebhook(request, timeout=DEADLINE)).webhook
        assert not activated.HasField("failing_since")
        replay = pb.ReplayEventsRequest(tenant=hook.tenant, webhook_id=hook.id, since=Timestamp(seconds=1))
        assert (await hook.stub.ReplayEvents(replay, timeout=DEADLINE)).events == 2
        await eventually("both arrive", lambda: _arrived(endpoint, 2))


async def _all_tried(hook: Hooks, count: int) -> bool:
    found = await hook.messages()
    return len(found) == count and all(message.attempts for message in found)


async def _none_waits(hook: Hooks) -> bool:
    return all(message.state == pb.WEBHOOK_MESSAGE_STATE_FAILED for message in await hook.messages())


async def _arrived(endpoint: Receiver, count: int) -> bool:
    return len(endpoint.accepted) == count


async def test_replicas_number_events_without_gaps_and_a_number_is_seen_after_all_smaller_ones(
    database: mongo.Database,
) -> None:
    stores = [EventStore(database, keep_days=1.0) for _ in range(3)]
    await stores[0].prepare()

    def at(number: int) -> Event:
        return event(EventType.EXPORT_FAILED, "acme", f"job-{number}", AT, {"job_id": f"job-{number}"})

    async def record() -> None:
        for number in range(0, 120, 4):
            await stores[0].record([at(one) for one in range(number, number + 4)])

    async def follow(store: EventStore) -> list[int]:
        seen: list[int] = []
        while len(seen) < 120:
            seen += [one.sequence or 0 for one in await store.page("acme", seen[-1] if seen else 0, 50)]
        return seen

    _, *followed = await asyncio.gather(record(), *(follow(store) for store in stores))
    assert followed == [list(range(1, 121))] * 3
    assert await stores[0].record([at(5)]) == 0
    await database["events"].delete_many({})  # they were kept long enough
    await stores[0].record([at(500)])
    assert [one.sequence for one in await stores[1].page("acme", 120, 50)] == [121]


async def test_the_secrets_of_webhooks_follow_a_new_master_key(
    open_shop: OpenShop, endpoint: Receiver, clean_uri: str
) -> None:
    client: Any = mongo.connect(clean_uri, app="tests")
    try:
        async with hooks(open_shop, endpoint) as hook:
            store = WebhookStore(client["delivery"])
            both = vault_of(master_keys(2, 1))
            assert await rotate_webhooks(store, both) == (1, [])
            [webhook] = await store.active(hook.tenant)
            assert WebhookSecrets(vault_of(master_keys(2))).of(webhook) == endpoint.secrets
            with pytest.raises(Unsealable):
                WebhookSecrets(vault_of(master_keys(1))).of(webhook)
    finally:
        client.close()
