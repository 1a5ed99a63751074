"""Which job the next file with changes of a schedule is based on: that of the last delivery the platform has confirmed.

A schedule names its newest job with changes (the head) and what this one is based on. Another run is only submitted
once the head and its delivery have ended, so that each file is based on all those that the platform has confirmed
before. Both names change in one compare-and-set on the schedule, before the job is created. After a crash in between,
the run finds itself as the head, and is submitted with the same base.
"""

from dataclasses import dataclass, replace

from services.chassis import json_text
from services.scheduler.clients import DeliveryClient, ExporterClient
from services.scheduler.runs.outcomes import STATES
from services.scheduler.schedules.schedule import Run, RunState, Schedule
from services.scheduler.schedules.store import ScheduleStore
from services.wire import delivery_pb2, scheduler_pb2

_LIVE = frozenset(
    {
        delivery_pb2.DELIVERY_STATE_PENDING,
        delivery_pb2.DELIVERY_STATE_SENDING,
        delivery_pb2.DELIVERY_STATE_VERIFYING,
        delivery_pb2.DELIVERY_STATE_RETRY_WAIT,
    }
)


@dataclass(frozen=True, slots=True)
class Base:
    """What a file is based on; empty: it has all rows."""

    job_id: str = ""


class Baselines:
    """Finds the baselines of schedules.

    Args:
        delivery: None: nothing is delivered, so nothing is confirmed.
    """

    def __init__(self, schedules: ScheduleStore, exporter: ExporterClient, delivery: DeliveryClient | None) -> None:
        self._schedules = schedules
        self._exporter = exporter
        self._delivery = delivery

    async def take(self, run: Run, schedule: Schedule) -> Base | None:
        """Make the run the head, and return what its file is based on; None: it has to wait.

        Raises:
            Fault: a service does not answer.
        """
        if schedule.head_job_id == run.job_id:
            return Base(schedule.baseline_job_id)
        base = await self.next(schedule)
        if base is None:
            return None
        if base.job_id and schedule.full_every:
            job = await self._exporter.job(schedule.tenant, base.job_id)
            if job is None or job.changes.number + 1 >= schedule.full_every:
                base = Base()
        after = replace(schedule, head_job_id=run.job_id, baseline_job_id=base.job_id, is_baseline_reset=False)
        return None if await self._schedules.change(schedule, after) is None else base

    async def next(self, schedule: Schedule) -> Base | None:
        """What the next file is based on; None: that is not known before the head's delivery has ended."""
        if schedule.is_baseline_reset or not schedule.head_job_id:
            return Base()
        job = await self._exporter.job(schedule.tenant, schedule.head_job_id)
        if job is None:  # it may have been delivered before it was deleted
            return Base()
        state = STATES.get(job.state)
        if state is None:
            return None
        if state is not RunState.COMPLETED or self._delivery is None:
            return Base(schedule.baseline_job_id)
        delivery = await self._delivery.of_job(job, schedule.platform_id)
        if delivery is None:
            is_decided = job.HasField("has_deliveries") and not job.has_deliveries
            return Base(schedule.baseline_job_id) if is_decided else None
        if delivery.state == delivery_pb2.DELIVERY_STATE_DELIVERED:
            return Base(job.id)
        return None if delivery.state in _LIVE else Base(schedule.baseline_job_id)

    async def message(self, schedule: Schedule) -> scheduler_pb2.GetBaselineResponse:
        """What the next file is based on, as far as that is known now."""
        base = await self.next(schedule) or Base(schedule.baseline_job_id)
        job = await self._exporter.job(schedule.tenant, base.job_id) if base.job_id else None
        if job is None or not job.has_manifest:
            return scheduler_pb2.GetBaselineResponse()
        return scheduler_pb2.GetBaselineResponse(
            job_id=job.id, sha256=job.artifact.sha256, number=job.changes.number, finished_at=job.finished_at
        )


def with_base(options_json: str, base: Base, schedule: Schedule) -> str:
    """The options of a run with changes."""
    text = options_json or "{}"
    values = {"manifest": "true"}
    if base.job_id:
        empty = "skip" if schedule.skip_empty else "deliver"
        values = {"changes_since": f'"{base.job_id}"', "on_missing_baseline": '"full"', "empty": f'"{empty}"'}
    for name, value in values.items():
        text = json_text.with_member(json_text.without(text, name), name, value)
    return text
