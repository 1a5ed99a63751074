"""The one place where the scheduler is put together."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from services.chassis import jetstream, loops, mongo
from services.chassis.jetstream import Inbox
from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import server as rpc_server
from services.chassis.rpc import tls
from services.chassis.rpc.server import Ports
from services.chassis.rpc.tls import Certificates
from services.chassis.telemetry import metrics
from services.scheduler.delivery_client import DeliveryClient
from services.scheduler.exporter_client import ExporterClient
from services.scheduler.runs.outcomes import ACK_WAIT, EVENTS, Outcomes
from services.scheduler.runs.store import RunStore
from services.scheduler.runs.submit import Submitter
from services.scheduler.runs.tick import Ticker
from services.scheduler.schedules.registry import Register
from services.scheduler.schedules.store import ScheduleStore
from services.scheduler.service import SchedulerService
from services.scheduler.settings import SchedulerSettings
from services.wire import scheduler_pb2_grpc

SERVICE = "catalog.exports.v1.Scheduler"
ASK_SECONDS = 5.0
SWEEP_SECONDS = 3_600.0
MEASURE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """Where the scheduler listens."""

    rpc_port: int
    metrics_port: int
    health_port: int | None


@asynccontextmanager
async def build(settings: SchedulerSettings) -> AsyncIterator[Running]:
    """Start everything; on leaving: no new calls, connections closed. What was begun, another replica ends."""
    async with AsyncExitStack() as stack:
        certificates = await stack.enter_async_context(tls.certificates(settings))
        client = mongo.connect(settings.mongodb_uri, app="scheduler")
        stack.callback(client.close)
        database = client["scheduler"]
        schedules, runs = ScheduleStore(client, database), RunStore(database)
        await schedules.prepare()
        await runs.prepare()
        exporting = await stack.enter_async_context(rpc_client.channel(settings.exporter_address, certificates))
        delivering = await stack.enter_async_context(rpc_client.channel(settings.delivery_address, certificates))
        exporter = ExporterClient(exporting, settings.rpc_deadline)
        delivery = DeliveryClient(delivering, settings.rpc_deadline)
        connecting = jetstream.connecting(settings.nats_url, name="scheduler", ca_file=settings.nats_ca_file)
        stream = await stack.enter_async_context(connecting)
        outcomes = Outcomes(
            runs,
            exporter,
            Inbox(stream, EVENTS, "scheduler", ack_wait=ACK_WAIT),
            follow=settings.follow_seconds,
            batch=settings.tick_batch,
            at_once=settings.run_concurrency,
        )
        ticker = Ticker(schedules, batch=settings.tick_batch, grace=timedelta(seconds=settings.grace_seconds))
        submitter = _submitter(settings, schedules, runs, exporter, outcomes)
        await stack.enter_async_context(_background(settings, ticker, submitter, outcomes, runs))
        register = Register(schedules, exporter, delivery, max_schedules=settings.max_schedules)
        service = SchedulerService(register, schedules, runs)
        metrics_port = await stack.enter_async_context(metrics.serving(settings.metrics_host, settings.metrics_port))
        ports = await stack.enter_async_context(_serving(settings, service, client, certificates))
        yield Running(ports.rpc, metrics_port, ports.health)


def _submitter(
    settings: SchedulerSettings, schedules: ScheduleStore, runs: RunStore, exporter: ExporterClient, outcomes: Outcomes
) -> Submitter:
    return Submitter(
        schedules,
        runs,
        exporter,
        outcomes,
        batch=settings.tick_batch,
        at_once=settings.run_concurrency,
        follow=settings.follow_seconds,
        again=settings.retry_seconds,
    )


def _background(
    settings: SchedulerSettings, ticker: Ticker, submitter: Submitter, outcomes: Outcomes, runs: RunStore
) -> AbstractAsyncContextManager[None]:
    async def sweep() -> None:
        await runs.forget(settings.history_days * 86_400)

    return loops.running(
        loops.repeat("tick", settings.tick_seconds, ticker.tick),
        loops.repeat("submit", settings.tick_seconds, submitter.round),
        loops.repeat("listen", 0.0, outcomes.listen),
        loops.repeat("ask", ASK_SECONDS, outcomes.ask),
        loops.repeat("refresh", SWEEP_SECONDS, ticker.refresh),
        loops.repeat("sweep", SWEEP_SECONDS, sweep),
        loops.repeat("measure", MEASURE_SECONDS, ticker.measure),
        loops.repeat("measure", MEASURE_SECONDS, submitter.measure),
    )


def _serving(
    settings: SchedulerSettings, service: SchedulerService, client: mongo.Client, certificates: Certificates | None
) -> AbstractAsyncContextManager[Ports]:
    register = partial(scheduler_pb2_grpc.add_SchedulerServicer_to_server, service)
    ready = partial(mongo.answers, client)
    return rpc_server.serving(settings, register, [SERVICE], ready=ready, certificates=certificates)
