"""Schedules, runs and specs to and from the protocol's messages."""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.scheduler.cron.preview import Upcoming
from services.scheduler.schedules.schedule import Run, Schedule
from services.scheduler.schedules.spec import ScheduleSpec
from services.wire import scheduler_pb2 as pb


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def schedule_message(schedule: Schedule, last: Run | None) -> pb.Schedule:
    """The schedule with its newest run."""
    message = pb.Schedule(
        id=schedule.id,
        tenant=schedule.tenant,
        platform_id=schedule.platform_id,
        schedule_name=schedule.name,
        cron_expression=schedule.cron_expression,
        timezone=schedule.timezone,
        is_active=schedule.is_active,
        format=schedule.format,
        options_json=schedule.options_json,
        misfire=schedule.misfire.value,
        overlap=schedule.overlap.value,
        jitter_seconds=schedule.jitter_seconds,
        created_at=_stamp(schedule.created_at),
        updated_at=_stamp(schedule.updated_at),
        next_run_at=_stamp(schedule.next_fire_at),
    )
    if last is not None:
        message.last_run.CopyFrom(run_message(last))
    return message


def run_message(run: Run) -> pb.Run:
    """A run."""
    return pb.Run(
        id=run.id,
        schedule_id=run.schedule_id,
        fire_at=_stamp(run.fire_at),
        started_at=_stamp(run.started_at),
        finished_at=_stamp(run.finished_at),
        state=run.state.value,
        reason=run.reason,
        job_id=run.job_id if run.started_at is not None else "",
        is_manual=run.is_manual,
        skipped=run.skipped,
    )


def times_message(times: Iterable[Upcoming]) -> pb.UpcomingResponse:
    """Fire times to come, with the words about clock changes."""
    return pb.UpcomingResponse(
        times=[
            pb.FireTime(
                at=_stamp(one.at),
                local=one.local.isoformat(timespec="seconds"),
                utc_offset=one.local.isoformat(timespec="seconds")[19:],
                note=one.words,
            )
            for one in times
        ]
    )


def spec_for_create(request: pb.CreateScheduleRequest) -> ScheduleSpec:
    """What a new schedule should be; what is left empty is the default, where there is one."""
    return ScheduleSpec(
        platform_id=request.platform_id,
        name=request.schedule_name,
        cron_expression=request.cron_expression,
        timezone=request.timezone or None,
        is_active=request.is_active if request.HasField("is_active") else None,
        format=request.format or None,
        options_json=request.options_json or None,
        misfire=request.misfire or None,
        overlap=request.overlap or None,
        jitter_seconds=request.jitter_seconds,
    )


def spec_for_update(request: pb.UpdateScheduleRequest) -> ScheduleSpec:
    """What an update changes."""

    def given(name: str) -> bool:
        return request.HasField(name)  # type: ignore[arg-type]  # the stub wants a literal

    return ScheduleSpec(
        platform_id=request.platform_id if given("platform_id") else None,
        name=request.schedule_name if given("schedule_name") else None,
        cron_expression=request.cron_expression if given("cron_expression") else None,
        timezone=request.timezone if given("timezone") else None,
        is_active=request.is_active if given("is_active") else None,
        format=request.format if given("format") else None,
        options_json=request.options_json if given("options_json") else None,
        misfire=request.misfire if given("misfire") else None,
        overlap=request.overlap if given("overlap") else None,
        jitter_seconds=request.jitter_seconds if given("jitter_seconds") else None,
    )
