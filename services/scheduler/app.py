"""Builds the scheduler: the only place where its objects are put together."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from services.audited import METHODS
from services.callers import RULES
from services.chassis import loops
from services.chassis.service_runtime import Running, service_runtime
from services.export_events import event_inbox
from services.limits import Limits
from services.scheduler.clients import DeliveryClient, ExporterClient
from services.scheduler.runs.baseline import Baselines
from services.scheduler.runs.missed import report_missed
from services.scheduler.runs.outcomes import Outcomes
from services.scheduler.runs.store import RunStore
from services.scheduler.runs.submit import Submitter
from services.scheduler.runs.tick import Ticker
from services.scheduler.schedules.registry import ScheduleRegistry
from services.scheduler.schedules.schedule import manual_run_id
from services.scheduler.schedules.store import ScheduleStore
from services.scheduler.service import SchedulerService
from services.scheduler.settings import SchedulerSettings
from services.wire import scheduler_pb2_grpc

SERVICE = "catalog.exports.v1.SchedulerService"
ASK_SECONDS = 5.0
SWEEP_SECONDS = 3_600.0
MEASURE_SECONDS = 5.0
MISSED_EVERY, MISSED_IDLE = 1.0, 10.0


@asynccontextmanager
async def build(settings: SchedulerSettings) -> AsyncIterator[Running]:
    """Run the scheduler; on leaving: no new calls, connections closed. Another replica finishes what was started."""
    async with service_runtime("scheduler", settings) as runtime:
        database = runtime.client["scheduler"]
        schedules, runs = ScheduleStore(runtime.client, database), RunStore(database)
        await runtime.prepare(schedules, runs)
        exporter = ExporterClient(await runtime.channel(settings.exporter_address), settings.rpc_deadline)
        delivery = None
        if settings.delivery_address is not None:
            delivery = DeliveryClient(await runtime.channel(settings.delivery_address), settings.rpc_deadline)
        outcomes = Outcomes(
            runs,
            exporter,
            event_inbox(runtime.jetstream, "scheduler"),
            follow=settings.follow_seconds,
            batch=settings.tick_batch,
            concurrency=settings.run_concurrency,
        )
        ticker = Ticker(schedules, batch=settings.tick_batch, grace=timedelta(seconds=settings.grace_seconds))
        baselines = Baselines(schedules, exporter, delivery)
        submitter = Submitter(
            schedules,
            runs,
            exporter,
            outcomes,
            baselines,
            batch=settings.tick_batch,
            concurrency=settings.run_concurrency,
            follow=settings.follow_seconds,
            retry=settings.run_retry_seconds,
        )
        background = _background(settings, ticker, submitter, outcomes, runs)
        if delivery is not None:
            reporting = partial(report_missed, runs, delivery)
            background.append(loops.repeat("missed", MISSED_EVERY, reporting, idle=MISSED_IDLE))
        await runtime.run_in_background(*background)
        limits = Limits(settings)
        registry = ScheduleRegistry(schedules, exporter, delivery, limits)
        service = SchedulerService(registry, schedules, runs, limits, baselines)
        yield await runtime.serve(
            partial(scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server, service),
            [SERVICE],
            RULES,
            METHODS,
            # A run has the id of its job.
            {"RunSchedule": lambda request: ("job", manual_run_id(request.schedule_id, request.idempotency_key))},
        )


def _background(
    settings: SchedulerSettings, ticker: Ticker, submitter: Submitter, outcomes: Outcomes, runs: RunStore
) -> list[Awaitable[None]]:
    async def sweep() -> None:
        await runs.forget(settings.run_history_days * 86_400)

    return [
        loops.repeat("tick", settings.tick_seconds, ticker.tick),
        loops.repeat("submit", settings.tick_seconds, submitter.round),
        loops.repeat("listen", 0.0, outcomes.listen),
        loops.repeat("ask", ASK_SECONDS, outcomes.ask),
        loops.repeat("refresh", SWEEP_SECONDS, ticker.refresh),
        loops.repeat("sweep", SWEEP_SECONDS, sweep),
        loops.repeat("measure", MEASURE_SECONDS, ticker.measure),
        loops.repeat("measure", MEASURE_SECONDS, submitter.measure),
    ]
