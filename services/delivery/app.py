"""The one place where the delivery service is put together."""

import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import Gauge

from services.chassis import jetstream, loops, mongo
from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore
from services.chassis.jetstream import Inbox
from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import server as rpc_server
from services.chassis.rpc import tls
from services.chassis.rpc.server import Ports
from services.chassis.rpc.tls import Certificates
from services.chassis.telemetry import metrics
from services.delivery.deliveries.completions import ACK_WAIT, EVENTS, Completions, Watermark
from services.delivery.deliveries.fan_out import FanOut, FanOutStore
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.deliveries.worker import Worker
from services.delivery.destinations import destinations
from services.delivery.destinations.egress import Egress, Rules, parse_networks
from services.delivery.exporter_client import ExporterClient
from services.delivery.platforms.registry import PlatformRegistry
from services.delivery.platforms.secrets import Vault, vault_of
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import TargetResolver
from services.delivery.service import DeliveryService
from services.delivery.settings import DeliverySettings
from services.wire import delivery_pb2_grpc

SERVICE = "catalog.exports.v1.Delivery"
OLDEST = Gauge("delivery_oldest_live_seconds", "Age of the oldest delivery that waits or is made.")
SWEEP_SECONDS = 3_600.0
MEASURE_SECONDS = 5.0
WORKER_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Running:
    """Where the delivery service listens."""

    rpc_port: int
    metrics_port: int
    health_port: int | None


@asynccontextmanager
async def build(settings: DeliverySettings) -> AsyncIterator[Running]:
    """Start everything; on leaving: no new calls, deliveries given back, connections closed."""
    async with AsyncExitStack() as stack:
        certificates = await stack.enter_async_context(tls.certificates(settings))
        client = mongo.connect(settings.mongodb_uri, app="delivery")
        stack.callback(client.close)
        database = client["delivery"]
        platforms, deliveries = PlatformStore(database), DeliveryStore(database)
        fan_outs, watermark = FanOutStore(database), Watermark(database)
        for store in (platforms, deliveries, fan_outs, watermark):
            await store.prepare()
        blobs = await open_store(settings.artifacts_url)
        stack.push_async_callback(blobs.close)
        channel = await stack.enter_async_context(rpc_client.channel(settings.exporter_address, certificates))
        exporter = ExporterClient(channel, settings.rpc_deadline)
        connecting = jetstream.connecting(settings.nats_url, name="delivery", ca_file=settings.nats_ca_file)
        stream = await stack.enter_async_context(connecting)
        vault = vault_of(settings.master_keys.get_secret_value())
        known = destinations()
        targets = TargetResolver(known, platforms, vault, Egress(Rules(parse_networks(settings.egress_allow))))
        worker = _worker(settings, deliveries, platforms, targets, blobs, vault)
        fan_out = FanOut(fan_outs, platforms, deliveries, max_attempts=settings.max_attempts, wake=worker.wake)
        inbox = Inbox(stream, EVENTS, "delivery", ack_wait=ACK_WAIT)
        completions = Completions(exporter, fan_out, watermark, inbox, lookback=settings.lookback_seconds)
        await stack.enter_async_context(_background(settings, completions, deliveries, worker))
        registry = PlatformRegistry(known, platforms, targets, vault)
        service = DeliveryService(
            known, registry, platforms, targets, deliveries, exporter, worker, max_attempts=settings.max_attempts
        )
        metrics_port = await stack.enter_async_context(metrics.serving(settings.metrics_host, settings.metrics_port))
        ports = await stack.enter_async_context(_serving(settings, service, client, certificates))
        yield Running(ports.rpc, metrics_port, ports.health)


def _worker(
    settings: DeliverySettings,
    deliveries: DeliveryStore,
    platforms: PlatformStore,
    targets: TargetResolver,
    blobs: BlobStore,
    vault: Vault,
) -> Worker:
    return Worker(
        deliveries,
        platforms,
        targets,
        blobs,
        vault,
        owner=f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}",
        slots=settings.delivery_slots,
        platform_slots=settings.platform_slots,
        lease=settings.lease_seconds,
        first_retry=settings.retry_seconds,
        max_retry=settings.max_retry_seconds,
    )


def _background(
    settings: DeliverySettings, completions: Completions, deliveries: DeliveryStore, worker: Worker
) -> AbstractAsyncContextManager[None]:
    async def sweep() -> None:
        await deliveries.forget(settings.history_days * 86_400)

    async def measure() -> None:
        OLDEST.set(await deliveries.oldest_live_age())

    background = [
        loops.repeat("listen", 0.0, completions.listen),
        loops.repeat("reconcile", settings.reconcile_seconds, completions.reconcile),
        loops.repeat("sweep", SWEEP_SECONDS, sweep),
        loops.repeat("measure", MEASURE_SECONDS, measure),
    ]
    if settings.delivery_slots:
        background.append(loops.repeat("worker", WORKER_PAUSE, worker.run))  # it ends only with an unexpected error
    return loops.running(*background)


def _serving(
    settings: DeliverySettings, service: DeliveryService, client: mongo.Client, certificates: Certificates | None
) -> AbstractAsyncContextManager[Ports]:
    register = partial(delivery_pb2_grpc.add_DeliveryServicer_to_server, service)
    ready = partial(mongo.answers, client)
    return rpc_server.serving(settings, register, [SERVICE], ready=ready, certificates=certificates)
