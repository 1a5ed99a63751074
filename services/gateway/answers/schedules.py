"""Schedules and their runs in REST: bodies of requests, and answers made of the scheduler's messages."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from services.chassis.json_types import HOWEVER_WRITTEN
from services.gateway.answers.described import (
    FORMATS,
    INSTEAD,
    AnyObject,
    Count,
    FormatName,
    Id,
    Sha256,
    Time,
    UtcOffset,
    settings_of,
)
from services.gateway.answers.jobs import at, optional_at, sent_options
from services.gateway.answers.models import Answer, Instant, Page, WithOptions
from services.gateway.answers.platforms import Active, Body, PlatformId
from services.gateway.answers.profiles import ProfileId
from services.wire import scheduler_pb2 as pb

RunStatus = TypeAliasType("RunStatus", Literal["waiting", "submitted", "completed", "failed", "cancelled", "skipped"])
ScheduleName = Annotated[str, Field(min_length=1, max_length=200)]
CronExpression = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        json_schema_extra={"pattern": r"^\s*(@[A-Za-z]+|\S+(\s+\S+){4})\s*$"},
        description="Minute, hour, day of the month, month, day of the week; or `@daily` and the like.",
    ),
]
Timezone = Annotated[str, Field(min_length=1, max_length=64, description="IANA name, such as Europe/Paris.")]
Misfire = TypeAliasType(
    "Misfire",
    Annotated[
        Literal["latest", "skip", "all"], Field(description="Of several missed times: the latest runs, none, or each.")
    ],
)
OverlapPolicy = TypeAliasType(
    "OverlapPolicy",
    Annotated[
        Literal["skip", "queue"], Field(description="A run whose predecessor is still going is skipped, or waits.")
    ],
)
Jitter = Annotated[
    int,
    Field(strict=True, ge=0, le=3_600, description="Starts are spread over this many seconds."),
    HOWEVER_WRITTEN,
]

Changes = Annotated[
    bool,
    Field(
        strict=True,
        description="Files have the rows that changed since the last file that the platform has confirmed "
        "(docs/deltas.md); the first one has all rows.",
    ),
]
Empty = TypeAliasType(
    "Empty",
    Annotated[
        Literal["deliver", "skip"], Field(description="With `changes`: a file without changes is delivered, or not.")
    ],
)
FullEvery = Annotated[
    int,
    Field(
        strict=True,
        ge=0,
        le=1_000,
        description="With `changes`: every file with this number has all rows; 0: only the first one.",
    ),
    HOWEVER_WRITTEN,
]

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
    format: Annotated[FormatName, Field(min_length=1, max_length=50)] = "csv"
    options: Annotated[AnyObject, settings_of(FORMATS, "{}ScheduleOptions")] = Field(default_factory=dict)
    profile_id: ProfileId | None = Field(
        default=None,
        json_schema_extra={INSTEAD: True},
        description="The profile that is exported, in its newest version, instead of `format` and `options`.",
    )
    misfire: Misfire = "latest"
    overlap: OverlapPolicy = "skip"
    jitter_seconds: Jitter = 0
    changes: Changes = False
    empty: Empty = "deliver"
    full_every: FullEvery = 0


class ScheduleChange(Body):
    """What is to change of a schedule; what is absent stays."""

    platform_id: PlatformId | None = None
    schedule_name: ScheduleName | None = None
    cron_expression: CronExpression | None = None
    timezone: Timezone | None = None
    is_active: Active | None = None
    format: Annotated[FormatName, Field(min_length=1, max_length=50)] | None = None
    options: Annotated[AnyObject, settings_of(FORMATS, "{}ScheduleOptions")] | None = Field(
        default=None, description="All options of the format; they replace the earlier ones."
    )
    profile_id: ProfileId | None = Field(
        default=None,
        json_schema_extra={INSTEAD: True},
        description="Replaces `format` and `options`; a `format` replaces the profile again.",
    )
    misfire: Misfire | None = None
    overlap: OverlapPolicy | None = None
    jitter_seconds: Jitter | None = None
    changes: Changes | None = None
    empty: Empty | None = None
    full_every: FullEvery | None = None


class Preview(Body):
    """An expression whose next times are wanted."""

    cron_expression: CronExpression
    timezone: Timezone = "UTC"
    count: Annotated[int, Field(strict=True, ge=1, le=100), HOWEVER_WRITTEN] = Field(
        default=10, description="How many times."
    )


class MadeSchedule(Answer):
    """A schedule that was just made."""

    id: Id
    schedule_name: str
    cron_expression: str
    timezone: str
    is_active: bool
    created_at: Instant
    next_run_at: Instant | None = Field(default=None, description="Absent while paused.")


class Run(Answer):
    """What became of a fire time."""

    id: Id
    status: RunStatus
    fire_at: Instant = Field(description="When it was due.")
    started_at: Instant | None = Field(default=None, description="When its job was requested.")
    finished_at: Instant | None = None
    job_id: Id | None = Field(default=None, description="The job of this run; it exists from `submitted` on.")
    is_manual: bool
    reason: str | None = Field(default=None, description="Why it was skipped or failed.")
    skipped: Count | None = Field(default=None, description="How many missed times a skipped run stands for.")


class Schedule(MadeSchedule, WithOptions):
    """A schedule."""

    platform_id: Id
    format: FormatName
    options: Annotated[str, settings_of(FORMATS, "{}ScheduleOptions")]
    profile_id: Id | None = Field(
        default=None, json_schema_extra={INSTEAD: True}, description="The profile whose newest version is exported."
    )
    misfire: Misfire
    overlap: OverlapPolicy
    jitter_seconds: Count
    changes: Changes | None = None
    empty: Empty | None = None
    full_every: Count | None = None
    updated_at: Instant
    last_run: Run | None = None

    def text(self) -> str:
        """The body; format and options are those of the profile, if there is one, and are not shown."""
        if self.profile_id is None:
            return super().text()
        return self.model_dump_json(exclude_none=True, exclude={"format", "options"})


class Baseline(Answer):
    """What the next file with changes is based on."""

    job_id: Id | None = Field(default=None, description="The export; absent: the next file has all rows.")
    sha256: Sha256 | None = Field(default=None, description="Of its file.")
    number: Count | None = Field(default=None, description="Of the file since the last one with all rows, which is 0.")
    completed_at: Instant | None = None


class SchedulePage(Page[Schedule]):
    """Schedules, newest first."""


class RunPage(Page[Run]):
    """Runs, newest first."""


class FireTime(Answer):
    """A time at which a schedule will run."""

    at: Instant
    local: Time = Field(description="The same in the schedule's zone.")
    utc_offset: UtcOffset
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
        changes=found.changes or None,
        empty=("skip" if found.skip_empty else "deliver") if found.changes else None,
        full_every=found.full_every if found.changes else None,
        updated_at=at(found.updated_at),
        last_run=run(found.last_run) if found.HasField("last_run") else None,
        options=sent_options(found.options_json),
        profile_id=found.profile_id or None,
    )


def baseline(found: pb.GetBaselineResponse) -> Baseline:
    """What the next file is based on."""
    if not found.job_id:
        return Baseline()
    return Baseline(
        job_id=found.job_id, sha256=found.sha256, number=found.number, completed_at=optional_at(found, "finished_at")
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
