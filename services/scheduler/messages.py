"""Schedules and runs to and from the messages of scheduler.proto."""

from collections.abc import Iterable
from typing import Any

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
FROM_STATES = {value: state for state, value in STATES.items()}
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
        profile_id=schedule.profile_id,
        misfire=MISFIRES[schedule.misfire],
        overlap=OVERLAPS[schedule.overlap],
        changes=schedule.changes,
        skip_empty=schedule.skip_empty,
        full_every=schedule.full_every,
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


def spec_of(request: pb.CreateScheduleRequest | pb.UpdateScheduleRequest) -> ScheduleSpec:
    """The fields that a request sets. Those that a new schedule must have are set in every CreateScheduleRequest.

    Raises:
        BadRequest: the jitter is not in whole seconds.
    """
    given: dict[str, Any] = {field.name: value for field, value in request.ListFields()}
    if isinstance(request, pb.CreateScheduleRequest):
        given = {"platform_id": "", "schedule_name": "", "cron_expression": "", **given}
    misfire, overlap, jitter = given.get("misfire"), given.get("overlap"), given.get("jitter")
    if jitter is not None and jitter.nanos:
        raise BadRequest([Violation("jitter", "must be whole seconds")])
    return ScheduleSpec(
        platform_id=given.get("platform_id"),
        name=given.get("schedule_name"),
        cron_expression=given.get("cron_expression"),
        timezone=given.get("timezone"),
        is_active=given.get("is_active"),
        format=given.get("format"),
        options_json=given.get("options_json"),
        # An unknown number is not a policy, and is refused with the other invalid fields.
        misfire=None if misfire is None else FROM_MISFIRES.get(misfire, str(misfire)),
        overlap=None if overlap is None else FROM_OVERLAPS.get(overlap, str(overlap)),
        jitter_seconds=None if jitter is None else jitter.seconds,
        profile_id=given.get("profile_id"),
        changes=given.get("changes"),
        skip_empty=given.get("skip_empty"),
        full_every=given.get("full_every"),
    )
