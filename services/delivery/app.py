"""Builds the delivery service: the only place where its objects are put together."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import Gauge

from services.audited import METHODS
from services.callers import RULES
from services.chassis import loops
from services.chassis.blobs.contract import BlobStore
from services.chassis.networks import parse_networks
from services.chassis.service_runtime import Running, instance_id, service_runtime
from services.delivery.deliveries.completions import Completions, Watermark
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
from services.export_events import event_inbox
from services.limits import Limits
from services.wire import delivery_pb2_grpc

SERVICE = "catalog.exports.v1.DeliveryService"
OLDEST = Gauge("delivery_oldest_live_seconds", "Age of the oldest delivery that has not ended.")
SWEEP_SECONDS = 3_600.0
MEASURE_SECONDS = 5.0
SESSIONS_SECONDS = 1.0
WORKER_PAUSE = 1.0


@asynccontextmanager
async def build(settings: DeliverySettings) -> AsyncIterator[Running]:
    """Run the delivery service; on leaving: no new calls, deliveries given back, connections closed."""
    async with service_runtime("delivery", settings, lease=settings.lease_seconds) as runtime:
        database = runtime.client["delivery"]
        platforms, deliveries = PlatformStore(database), DeliveryStore(database)
        fan_outs, watermark = FanOutStore(database), Watermark(database)
        for store in (platforms, deliveries, fan_outs, watermark):
            await store.prepare()
        blobs = await runtime.blobs(settings.artifacts_url)
        exporter = ExporterClient(await runtime.channel(settings.exporter_address), settings.rpc_deadline)
        vault = vault_of(settings.master_keys.get_secret_value())
        known = destinations()
        targets = TargetResolver(known, platforms, vault, Egress(Rules(parse_networks(settings.egress_allow))))
        sessions = KeptSessions()
        runtime.stack.push_async_callback(sessions.close_all)
        worker = _worker(settings, deliveries, platforms, targets, sessions, blobs, vault)
        fan_out = FanOut(fan_outs, platforms, deliveries, max_attempts=settings.max_attempts, wake=worker.wake)
        inbox = event_inbox(runtime.jetstream, "delivery")
        completions = Completions(exporter, fan_out, watermark, inbox, lookback=settings.lookback_seconds)
        await runtime.run_in_background(*_background(settings, completions, deliveries, worker, sessions))
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
            max_attempts=settings.max_attempts,
        )
        yield await runtime.serve(
            partial(delivery_pb2_grpc.add_DeliveryServiceServicer_to_server, service), SERVICE, RULES, METHODS
        )


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
        lease=settings.lease_seconds,
        first_retry=settings.retry_seconds,
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
        await deliveries.forget(settings.history_days * 86_400)

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
