"""What a schedule is and what a run of it is, with ids that make a run one however often it is planned. Pure.

waiting → submitted → completed | failed | cancelled
waiting → skipped | failed
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.scheduler.cron import jitter
from services.scheduler.cron.cron import Cron, parse
from services.scheduler.cron.misfire import Policy

NAMESPACE = uuid.UUID("0c1b1a52-64f6-5f7e-8d0b-97a6a3f0c1d4")


class Overlap(StrEnum):
    """What becomes of a run whose predecessor is still going."""

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
    """uuid5 of schedule and fire time: the run's id, and its job's."""
    return str(uuid.uuid5(NAMESPACE, f"{schedule_id}/{fire_at.astimezone(UTC).isoformat()}"))


def manual_run_id(schedule_id: str, request_id: str) -> str:
    """The id of a run that somebody asked for."""
    return str(uuid.uuid5(NAMESPACE, f"{schedule_id}/manual/{request_id}"))


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it is stored."""

    id: str
    tenant: str
    platform_id: str
    name: str
    cron_expression: str
    timezone: str
    is_active: bool
    format: str
    options_json: str
    misfire: Policy
    overlap: Overlap
    jitter_seconds: int
    created_at: datetime
    updated_at: datetime
    planned_until: datetime
    """The last fire time that was planned, or when the schedule was made, resumed or edited, if that came later."""
    next_fire_at: datetime | None
    """The first fire time that is not planned; None while paused, or when there is none."""
    rules: str
    """Version of the time-zone rules by which `next_fire_at` was computed."""
    version: int = 1

    @property
    def cron(self) -> Cron:
        """The expression in its zone."""
        return parse(self.cron_expression, self.timezone)

    @property
    def delay(self) -> timedelta:
        """How long after a fire time this schedule starts."""
        return jitter.offset(self.id, timedelta(seconds=self.jitter_seconds))

    @property
    def due_at(self) -> datetime | None:
        """When it has to be looked at next."""
        return None if self.next_fire_at is None else self.next_fire_at + self.delay


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a fire time."""

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
    """It waits for its predecessors whatever the schedule's overlap says: all of them are made up for."""
    skipped: int = 0
    """Of a skipped run: for how many fire times it stands, itself among them."""
    traceparent: str = ""
    """W3C trace context of the request for it; empty when its time had come, then its submission begins a trace."""

    @property
    def job_id(self) -> str:
        """Its job's id; there is no such job before the run is submitted."""
        return self.id
