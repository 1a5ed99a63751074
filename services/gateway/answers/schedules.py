"""Schedules and their runs in REST: bodies of requests, and answers made of the scheduler's messages."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from services.gateway.answers.jobs import at, optional_at
from services.gateway.answers.models import Answer, Instant, Page, WithOptions
from services.gateway.answers.platforms import Active, Body, PlatformId
from services.wire import scheduler_pb2 as pb

RunStatus = Literal["waiting", "submitted", "completed", "failed", "cancelled", "skipped"]
ScheduleName = Annotated[str, Field(min_length=1, max_length=200)]
CronExpression = Annotated[str, Field(min_length=1, max_length=256, description="Five fields; see docs/schedules.md.")]
Timezone = Annotated[str, Field(min_length=1, max_length=64, description="IANA name, such as Europe/Paris.")]
Misfire = Annotated[
    Literal["latest", "skip", "all"], Field(description="Of several missed times: the latest runs, none, or each.")
]
OverlapPolicy = Annotated[
    Literal["skip", "queue"], Field(description="A run whose predecessor is still going is skipped, or waits.")
]
Jitter = Annotated[int, Field(strict=True, ge=0, le=3_600, description="Starts are spread over this many seconds.")]

MISFIRES: dict[Misfire, pb.MisfirePolicy.ValueType] = {
    "latest": pb.MISFIRE_POLICY_LATEST,
    "skip": pb.MISFIRE_POLICY_SKIP,
    "all": pb.MISFIRE_POLICY_ALL,
}
OVERLAPS: dict[OverlapPolicy, pb.OverlapPolicy.ValueType] = {
    "skip": pb.OVERLAP_POLICY_SKIP,
    "queue": pb.OVERLAP_POLICY_QUEUE,
}
MISFIRE_NAMES = {value: name for name, value in MISFIRES.items()}
OVERLAP_NAMES = {value: name for name, value in OVERLAPS.items()}
RUN_STATUSES: dict[pb.RunState.ValueType, RunStatus] = {
    pb.RUN_STATE_WAITING: "waiting",
    pb.RUN_STATE_SUBMITTED: "submitted",
    pb.RUN_STATE_COMPLETED: "completed",
    pb.RUN_STATE_FAILED: "failed",
    pb.RUN_STATE_CANCELLED: "cancelled",
    pb.RUN_STATE_SKIPPED: "skipped",
}


class NewSchedule(Body):
    """A schedule to make."""

    platform_id: PlatformId
    schedule_name: ScheduleName
    cron_expression: CronExpression
    timezone: Timezone = "UTC"
    is_active: Active = True
    format: str = Field(default="csv", min_length=1, max_length=50)
    options: dict[str, Any] = Field(default_factory=dict, description="Any of that format's, except platform_ids.")
    misfire: Misfire = "latest"
    overlap: OverlapPolicy = "skip"
    jitter_seconds: Jitter = 0


class ScheduleChange(Body):
    """What is to change of a schedule; what is absent stays."""

    platform_id: PlatformId | None = None
    schedule_name: ScheduleName | None = None
    cron_expression: CronExpression | None = None
    timezone: Timezone | None = None
    is_active: Active | None = None
    format: str | None = Field(default=None, min_length=1, max_length=50)
    options: dict[str, Any] | None = None
    misfire: Misfire | None = None
    overlap: OverlapPolicy | None = None
    jitter_seconds: Jitter | None = None


class Preview(Body):
    """An expression whose next times are wanted."""

    cron_expression: CronExpression
    timezone: Timezone = "UTC"
    count: int = Field(default=10, strict=True, ge=1, le=100)


class MadeSchedule(Answer):
    """A schedule that was just made."""

    id: str
    schedule_name: str
    cron_expression: str
    timezone: str
    is_active: bool
    created_at: Instant
    next_run_at: Instant | None = Field(default=None, description="Absent while paused.")


class Run(Answer):
    """What became of a fire time."""

    id: str
    status: RunStatus
    fire_at: Instant = Field(description="When it was due.")
    started_at: Instant | None = None
    finished_at: Instant | None = None
    job_id: str | None = None
    is_manual: bool
    reason: str | None = Field(default=None, description="Why it was skipped or failed.")
    skipped: int | None = Field(default=None, description="How many missed times a skipped run stands for.")


class Schedule(MadeSchedule, WithOptions):
    """A schedule."""

    platform_id: str
    format: str
    misfire: Misfire
    overlap: OverlapPolicy
    jitter_seconds: int
    updated_at: Instant
    last_run: Run | None = None


class SchedulePage(Page[Schedule]):
    """Schedules, newest first."""


class RunPage(Page[Run]):
    """Runs, newest first."""


class FireTime(Answer):
    """A time at which a schedule will run."""

    at: Instant
    local: str = Field(description="The same in the schedule's zone.")
    utc_offset: str
    note: str | None = Field(default=None, description="What a clock change does to it.")


class Upcoming(Answer):
    """The next times."""

    items: list[FireTime]


def made(found: pb.Schedule) -> MadeSchedule:
    """The answer to a request for a new schedule."""
    return MadeSchedule(
        id=found.id,
        schedule_name=found.schedule_name,
        cron_expression=found.cron_expression,
        timezone=found.timezone,
        is_active=found.is_active,
        created_at=at(found.created_at),
        next_run_at=optional_at(found, "next_run_at"),
    )


def schedule(found: pb.Schedule) -> Schedule:
    """A schedule with all its fields."""
    return Schedule(
        **made(found).model_dump(),
        platform_id=found.platform_id,
        format=found.format,
        misfire=MISFIRE_NAMES[found.misfire],
        overlap=OVERLAP_NAMES[found.overlap],
        jitter_seconds=found.jitter.seconds,
        updated_at=at(found.updated_at),
        last_run=run(found.last_run) if found.HasField("last_run") else None,
        options=found.options_json or "{}",
    )


def run(found: pb.Run) -> Run:
    """A run with all its fields."""
    return Run(
        id=found.id,
        status=RUN_STATUSES[found.state],
        fire_at=at(found.fire_at),
        started_at=optional_at(found, "started_at"),
        finished_at=optional_at(found, "finished_at"),
        job_id=found.job_id or None,
        is_manual=found.is_manual,
        reason=": ".join(filter(None, (found.error.code, found.error.message))) or None,
        skipped=found.skipped_times or None,
    )


def upcoming(times: Iterable[pb.FireTime]) -> Upcoming:
    """The next fire times."""
    return Upcoming(
        items=[
            FireTime(at=at(one.at), local=one.local, utc_offset=one.utc_offset, note=one.note or None) for one in times
        ]
    )
