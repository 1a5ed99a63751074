"""Schedules and runs to and from the messages of scheduler.proto."""

from collections.abc import Iterable

from services.chassis.faults import BadRequest, Violation
from services.chassis.timestamps import to_duration, to_timestamp
from services.scheduler.cron.misfire import Policy
from services.scheduler.cron.preview import Upcoming
from services.scheduler.schedules.schedule import Overlap, Run, RunState, Schedule
from services.scheduler.schedules.spec import ScheduleSpec
from services.wire import errors_pb2
from services.wire import scheduler_pb2 as pb

MISFIRES: dict[Policy, pb.MisfirePolicy.ValueType] = {
    policy: pb.MisfirePolicy.Value(f"MISFIRE_POLICY_{policy.name}") for policy in Policy
}
OVERLAPS: dict[Overlap, pb.OverlapPolicy.ValueType] = {
    policy: pb.OverlapPolicy.Value(f"OVERLAP_POLICY_{policy.name}") for policy in Overlap
}
STATES: dict[RunState, pb.RunState.ValueType] = {
    state: pb.RunState.Value(f"RUN_STATE_{state.name}") for state in RunState
}
FROM_MISFIRES = {value: policy.value for policy, value in MISFIRES.items()}
FROM_OVERLAPS = {value: policy.value for policy, value in OVERLAPS.items()}


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
        misfire=MISFIRES[schedule.misfire],
        overlap=OVERLAPS[schedule.overlap],
        jitter=to_duration(schedule.jitter_seconds),
        created_at=to_timestamp(schedule.created_at),
        updated_at=to_timestamp(schedule.updated_at),
        next_run_at=to_timestamp(schedule.next_fire_at),
    )
    if last is not None:
        message.last_run.CopyFrom(run_message(last))
    return message


def run_message(run: Run) -> pb.Run:
    """A run."""
    return pb.Run(
        id=run.id,
        schedule_id=run.schedule_id,
        fire_at=to_timestamp(run.fire_at),
        started_at=to_timestamp(run.started_at),
        finished_at=to_timestamp(run.finished_at),
        state=STATES[run.state],
        error=_error(run.reason),
        job_id=run.job_id if run.started_at is not None else "",
        is_manual=run.is_manual,
        skipped_times=run.skipped,
    )


def _error(reason: str) -> errors_pb2.ErrorInfo | None:
    """A stored reason is a code, or `code: message`."""
    code, _, message = reason.partition(": ")
    return errors_pb2.ErrorInfo(code=code, message=message) if reason else None


def times_message(times: Iterable[Upcoming]) -> list[pb.FireTime]:
    """Fire times, with notes about clock changes."""
    return [
        pb.FireTime(
            at=to_timestamp(one.at),
            local=one.local.isoformat(timespec="seconds"),
            utc_offset=one.local.isoformat(timespec="seconds")[19:],
            note=one.words,
        )
        for one in times
    ]


def spec_for_create(request: pb.CreateScheduleRequest) -> ScheduleSpec:
    """The fields of a new schedule; empty ones have their default, where there is one."""
    return ScheduleSpec(
        platform_id=request.platform_id,
        name=request.schedule_name,
        cron_expression=request.cron_expression,
        timezone=request.timezone or None,
        is_active=request.is_active if request.HasField("is_active") else None,
        format=request.format or None,
        options_json=request.options_json or None,
        misfire=_misfire(request.misfire) if request.misfire else None,
        overlap=_overlap(request.overlap) if request.overlap else None,
        jitter_seconds=_jitter(request),
    )


def spec_for_update(request: pb.UpdateScheduleRequest) -> ScheduleSpec:
    """The fields that an update changes."""

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
        misfire=_misfire(request.misfire) if given("misfire") else None,
        overlap=_overlap(request.overlap) if given("overlap") else None,
        jitter_seconds=_jitter(request) if given("jitter") else None,
    )


def _misfire(value: pb.MisfirePolicy.ValueType) -> str:
    """The policy's name; that of an unknown number is not a policy, and is refused with the other invalid fields."""
    return FROM_MISFIRES.get(value, str(value))


def _overlap(value: pb.OverlapPolicy.ValueType) -> str:
    return FROM_OVERLAPS.get(value, str(value))


def _jitter(request: pb.CreateScheduleRequest | pb.UpdateScheduleRequest) -> int:
    if request.jitter.nanos:
        raise BadRequest([Violation("jitter_seconds", "must be whole seconds")])
    return request.jitter.seconds
