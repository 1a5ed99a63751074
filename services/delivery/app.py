"""Builds the delivery service: the only place where its objects are put together."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial

import grpc
from prometheus_client import Gauge

from services.audited import METHODS
from services.callers import RULES
from services.chassis import loops
from services.chassis.blobs.contract import BlobStore
from services.chassis.networks import parse_networks
from services.chassis.service_runtime import Running, instance_id, service_runtime
from services.delivery.deliveries.completions import Completions, Watermark
from services.delivery.deliveries.ends import record_ends
from services.delivery.deliveries.fan_out import FanOut, FanOutStore
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.deliveries.worker import Worker
from services.delivery.destinations import destinations
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.exporter_client import ExporterClient
from services.delivery.platforms.kept_sessions import KeptSessions
from services.delivery.platforms.registry import PlatformRegistry
from services.delivery.platforms.secrets import Vault, vault_of
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import TargetResolver
from services.delivery.service import DeliveryService
from services.delivery.settings import DeliverySettings
from services.delivery.webhooks.event_store import EventStore
from services.delivery.webhooks.message_store import MessageStore
from services.delivery.webhooks.outcomes import OLDEST_DUE
from services.delivery.webhooks.registry import WebhookRegistry
from services.delivery.webhooks.relay import Relay
from services.delivery.webhooks.secrets import WebhookSecrets
from services.delivery.webhooks.sender import Sender
from services.delivery.webhooks.service import WebhookService
from services.delivery.webhooks.store import WebhookStore
from services.delivery.webhooks.worker import WebhookWorker
from services.export_events import event_inbox
from services.limits import Limits
from services.wire import delivery_pb2_grpc, webhooks_pb2_grpc

SERVICES = ("catalog.exports.v1.DeliveryService", "catalog.exports.v1.WebhookService")
OLDEST = Gauge("delivery_oldest_live_seconds", "Age of the oldest delivery that has not ended.")
SWEEP_SECONDS = 3_600.0
MEASURE_SECONDS = 5.0
SESSIONS_SECONDS = 1.0
WORKER_PAUSE = 1.0
ENDS_EVERY, ENDS_IDLE = 0.1, 5.0
"""Between two queries for ends of deliveries, unless one of this process wakes it: what a killed process delays one."""
RELAY_EVERY, RELAY_IDLE = 0.1, 5.0


@asynccontextmanager
async def build(settings: DeliverySettings) -> AsyncIterator[Running]:
    """Run the delivery service; on leaving: no new calls, deliveries given back, connections closed."""
    async with service_runtime("delivery", settings, lease=settings.delivery_lease_seconds) as runtime:
        database = runtime.client["delivery"]
        platforms, deliveries = PlatformStore(database), DeliveryStore(database)
        fan_outs, watermark = FanOutStore(database), Watermark(database)
        events = EventStore(database, keep_days=settings.event_days)
        messages = MessageStore(database, keep_days=settings.event_days)
        webhooks = WebhookStore(database)
        await runtime.prepare(platforms, deliveries, fan_outs, watermark, events, messages, webhooks)
        blobs = await runtime.blobs(settings.artifacts_url)
        exporter = ExporterClient(await runtime.channel(settings.exporter_address), settings.rpc_deadline)
        vault = vault_of(settings.master_keys.get_secret_value())
        known = destinations()
        egress = Egress(Rules(parse_networks(settings.egress_allow)))
        targets = TargetResolver(known, platforms, vault, egress)
        sessions = KeptSessions()
        runtime.stack.push_async_callback(sessions.close_all)
        worker = _worker(settings, deliveries, platforms, targets, sessions, blobs, vault)
        fan_out = FanOut(fan_outs, platforms, deliveries, max_attempts=settings.delivery_max_attempts, wake=worker.wake)
        sender, secrets = Sender(egress), WebhookSecrets(vault)
        runtime.stack.push_async_callback(sender.close)
        webhook_worker = WebhookWorker(messages, webhooks, secrets, sender)
        relay = Relay(events, webhooks, messages, wake=webhook_worker.wake)

        async def measure_webhooks() -> None:
            OLDEST_DUE.set(await messages.oldest_due_age())

        inbox = event_inbox(runtime.jetstream, "delivery")
        completions = Completions(exporter, fan_out, relay, watermark, inbox, lookback=settings.lookback_seconds)
        await runtime.run_in_background(
            *_background(settings, completions, deliveries, worker, sessions),
            loops.repeat(
                "record_ends", ENDS_EVERY, partial(record_ends, deliveries, relay), idle=ENDS_IDLE, wake=worker.ended
            ),
            loops.repeat("relay", RELAY_EVERY, relay.relay, idle=RELAY_IDLE, wake=relay.recorded),
            loops.repeat("measure", MEASURE_SECONDS, measure_webhooks),
            loops.repeat("webhooks", WORKER_PAUSE, webhook_worker.run),  # returns only after an unexpected error
        )
        limits = Limits(settings)
        registry = PlatformRegistry(known, platforms, targets, vault, limits)
        service = DeliveryService(
            known,
            registry,
            platforms,
            targets,
            sessions,
            deliveries,
            exporter,
            worker,
            limits,
            max_attempts=settings.delivery_max_attempts,
        )
        webhook_service = WebhookService(
            WebhookRegistry(webhooks, messages, secrets, sender, limits), (events, messages), relay, webhook_worker
        )

        def register(server: grpc.aio.Server) -> None:
            delivery_pb2_grpc.add_DeliveryServiceServicer_to_server(service, server)
            webhooks_pb2_grpc.add_WebhookServiceServicer_to_server(webhook_service, server)

        yield await runtime.serve(register, SERVICES, RULES, METHODS)


def _worker(
    settings: DeliverySettings,
    deliveries: DeliveryStore,
    platforms: PlatformStore,
    targets: TargetResolver,
    sessions: KeptSessions,
    blobs: BlobStore,
    vault: Vault,
) -> Worker:
    return Worker(
        deliveries,
        platforms,
        targets,
        sessions,
        blobs,
        vault,
        owner=instance_id(),
        slots=settings.delivery_slots,
        platform_slots=settings.platform_slots,
        lease=settings.delivery_lease_seconds,
        first_retry=settings.delivery_retry_seconds,
        max_retry=settings.max_retry_seconds,
    )


def _background(
    settings: DeliverySettings,
    completions: Completions,
    deliveries: DeliveryStore,
    worker: Worker,
    sessions: KeptSessions,
) -> list[Awaitable[None]]:
    async def sweep() -> None:
        await deliveries.forget(settings.delivery_history_days * 86_400)

    async def measure() -> None:
        OLDEST.set(await deliveries.oldest_live_age())

    background: list[Awaitable[None]] = [
        loops.repeat("listen", 0.0, completions.listen),
        loops.repeat("reconcile", settings.reconcile_seconds, completions.reconcile),
        loops.repeat("sweep", SWEEP_SECONDS, sweep),
        loops.repeat("measure", MEASURE_SECONDS, measure),
        loops.repeat("sessions", SESSIONS_SECONDS, sessions.close_old),
    ]
    if settings.delivery_slots:
        background.append(loops.repeat("worker", WORKER_PAUSE, worker.run))  # returns only after an unexpected error
    return background
