"""Reports missed runs to the delivery service, which turns them into events of their tenants."""

from services.chassis import loops
from services.scheduler.clients import DeliveryClient
from services.scheduler.runs.store import RunStore
from services.scheduler.schedules.schedule import Run

BATCH, CONCURRENCY = 100, 8


async def report_missed(runs: RunStore, delivery: DeliveryClient) -> int:
    """Report those that are not reported yet; returns how many. To be called in a loop.

    Any number of replicas may do this concurrently: a run that is reported twice is one event.
    """

    async def report(run: Run) -> Run:
        await delivery.record_missed_run(run.tenant, run.schedule_id, run.id, run.fire_at, run.skipped)
        return run

    found = await runs.unreported(BATCH)
    reported = await loops.for_each("missed", found, report, concurrency=CONCURRENCY)
    if reported:
        await runs.reported(reported)
    return len(reported)
