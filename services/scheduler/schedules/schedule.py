"""Schedules and runs. A run's id is derived from its fire time, so that planning it again is idempotent. Pure.

waiting → submitted → completed | failed | cancelled
waiting → skipped | failed
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.scheduler.cron.cron import Cron, parse
from services.scheduler.cron.misfire import Policy

NAMESPACE = uuid.UUID("0c1b1a52-64f6-5f7e-8d0b-97a6a3f0c1d4")
_MICROSECOND = timedelta(microseconds=1)


class Overlap(StrEnum):
    """What happens to a run whose predecessor is still live."""

    SKIP = "skip"
    QUEUE = "queue"


class RunState(StrEnum):
    """The states of a run's document in MongoDB."""

    WAITING = "waiting"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


LIVE = frozenset({RunState.WAITING, RunState.SUBMITTED})
ENDED = frozenset(RunState) - LIVE


def run_id(schedule_id: str, fire_at: datetime) -> str:
    """uuid5 of schedule and fire time: the id of the run and of its job."""
    return str(uuid.uuid5(NAMESPACE, f"{schedule_id}/{fire_at.astimezone(UTC).isoformat()}"))


def manual_run_id(schedule_id: str, request_id: str) -> str:
    """The id of a manually requested run."""
    return str(uuid.uuid5(NAMESPACE, f"{schedule_id}/manual/{request_id}"))


def jitter(schedule_id: str, maximum: timedelta) -> timedelta:
    """The delay of a schedule, so that 5,000 schedules at 09:00 do not start in the same second.

    It is at least 0 and less than `maximum` (0 if that is 0), and the same in every process. It is evenly distributed
    over ids and proportional to `maximum`: a longer spread keeps the order of starts.
    """
    # hash() differs between processes.
    share = int.from_bytes(hashlib.sha256(schedule_id.encode()).digest()[:8], "big")
    return _MICROSECOND * (share * (maximum // _MICROSECOND) >> 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the tick reads and writes of a schedule, so that it loads no options."""

    id: str
    tenant: str
    cron_expression: str
    timezone: str
    misfire: Policy
    jitter_seconds: int
    planned_until: datetime
    """The last planned fire time, or the time of creation, resumption or edit, if later."""
    next_fire_at: datetime | None
    """The first fire time that is not planned; None while paused, or when there is no other."""
    rules: str
    """Version of the time-zone rules with which `next_fire_at` was computed."""
    version: int = 1

    @property
    def cron(self) -> Cron:
        """The expression in its zone."""
        return parse(self.cron_expression, self.timezone)

    @property
    def delay(self) -> timedelta:
        """The jitter: how long after its fire time a run starts."""
        return jitter(self.id, timedelta(seconds=self.jitter_seconds))

    @property
    def due_at(self) -> datetime | None:
        """When the schedule has to be planned next."""
        return None if self.next_fire_at is None else self.next_fire_at + self.delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Timing):
    """A schedule as it is stored."""

    platform_id: str
    name: str
    is_active: bool
    format: str
    options_json: str
    """Both are empty with a `profile_id`."""
    overlap: Overlap
    created_at: datetime
    updated_at: datetime
    request_hash: str = ""
    """Of the request that has created it; empty for schedules of older versions."""
    profile_id: str = ""
    """Of the profile whose newest version each run exports."""
    changes: bool = False
    """Files have the changes since the last one that the platform has confirmed."""
    skip_empty: bool = False
    """Files without changes are not delivered."""
    full_every: int = 0
    """The number in the chain at which a file has all rows again; 0: only the first one has."""
    head_job_id: str = ""
    """The job of the newest run with changes. Until its delivery has ended, no other one is submitted."""
    baseline_job_id: str = ""
    """What the file of `head_job_id` is based on; empty: it has all rows."""
    is_baseline_reset: bool = False
    """The next file has all rows, whatever becomes of the head's."""


MISSED = "missed"
"""The reason of a run that stands for fire times that nobody planned in time."""


@dataclass(frozen=True, slots=True)
class Run:
    """A fire time and what became of it."""

    id: str
    schedule_id: str
    tenant: str
    fire_at: datetime
    state: RunState
    created_at: datetime
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_manual: bool = False
    waits: bool = False
    """It waits for its predecessors whatever the overlap policy is: one of several missed runs that all run."""
    skipped: int = 0
    """Of a skipped run: the number of fire times it stands for, including its own."""
    traceparent: str = ""
    """W3C trace context of a manual request; empty otherwise, and the submission starts a new trace."""

    @property
    def job_id(self) -> str:
        """The id of its job, which exists once the run is submitted."""
        return self.id
