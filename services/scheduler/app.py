"""The one place where the scheduler is put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc

from services.chassis import jetstream, loops, metrics, mongo, rpc_client, rpc_server
from services.chassis.jetstream import Inbox
from services.scheduler.delivery_client import DeliveryClient
from services.scheduler.exporter_client import ExporterClient
from services.scheduler.outcomes import ACK_WAIT, EVENTS, Outcomes
from services.scheduler.register import Register
from services.scheduler.run_store import RunStore
from services.scheduler.schedule_store import ScheduleStore
from services.scheduler.service import SchedulerService
from services.scheduler.settings import SchedulerSettings
from services.scheduler.submit import Submitter
from services.scheduler.tick import Ticker
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


@asynccontextmanager
async def build(settings: SchedulerSettings) -> AsyncIterator[Running]:
    """Start everything; on leaving: no new calls, connections closed. What was begun, another replica ends."""
    async with AsyncExitStack() as stack:
        client = mongo.connect(settings.mongodb_uri, app="scheduler")
        stack.callback(client.close)
        database = client["scheduler"]
        schedules, runs = ScheduleStore(client, database), RunStore(database)
        await schedules.prepare()
        await runs.prepare()
        exporting = await stack.enter_async_context(rpc_client.channel(settings.exporter_address))
        delivering = await stack.enter_async_context(rpc_client.channel(settings.delivery_address))
        exporter = ExporterClient(exporting, settings.rpc_deadline)
        stream = await stack.enter_async_context(jetstream.connecting(settings.nats_url, name="scheduler"))
        outcomes = Outcomes(
            runs,
            exporter,
            Inbox(stream, EVENTS, "scheduler", ack_wait=ACK_WAIT),
            follow=settings.follow_seconds,
            batch=settings.tick_batch,
            at_once=settings.at_once,
        )
        ticker = Ticker(schedules, batch=settings.tick_batch, grace=timedelta(seconds=settings.grace_seconds))
        submitter = Submitter(
            schedules,
            runs,
            exporter,
            outcomes,
            batch=settings.tick_batch,
            at_once=settings.at_once,
            follow=settings.follow_seconds,
            again=settings.retry_seconds,
        )

        async def sweep() -> None:
            await runs.forget(settings.history_days * 86_400)

        background = [
            loops.repeat("tick", settings.tick_seconds, ticker.tick),
            loops.repeat("submit", settings.tick_seconds, submitter.round),
            loops.repeat("listen", 0.0, outcomes.listen),
            loops.repeat("ask", ASK_SECONDS, outcomes.ask),
            loops.repeat("refresh", SWEEP_SECONDS, ticker.refresh),
            loops.repeat("sweep", SWEEP_SECONDS, sweep),
            loops.repeat("measure", MEASURE_SECONDS, ticker.measure),
            loops.repeat("measure", MEASURE_SECONDS, submitter.measure),
        ]
        await stack.enter_async_context(loops.running(*background))
        register = Register(
            schedules,
            exporter,
            DeliveryClient(delivering, settings.rpc_deadline),
            max_schedules=settings.max_schedules,
        )
        service = SchedulerService(register, schedules, runs)
        metrics_port = await stack.enter_async_context(metrics.serving(settings.metrics_host, settings.metrics_port))

        def add(server: grpc.aio.Server) -> None:
            scheduler_pb2_grpc.add_SchedulerServicer_to_server(service, server)

        async def ready() -> bool:
            return await mongo.answers(client)

        serving = rpc_server.serving(
            settings.grpc_host,
            settings.grpc_port,
            add,
            [SERVICE],
            ready=ready,
            grace=settings.shutdown_grace,
            notice=settings.shutdown_notice,
        )
        yield Running(await stack.enter_async_context(serving), metrics_port)
