"""Jobs and their states. Pure.

accepted → running → completed → expired
           running → retry_wait → running
accepted, running, retry_wait → failed | cancelled
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.chassis.faults import ErrorInfo
from services.exporter.manifests.manifest import Changes, Manifest
from services.exporter.transcode.findings import Findings


class JobState(StrEnum):
    """The states of the job's document in MongoDB."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


LIVE = frozenset({JobState.ACCEPTED, JobState.RUNNING, JobState.RETRY_WAIT})
ENDED = frozenset(JobState) - LIVE
WAITING = frozenset({JobState.ACCEPTED, JobState.RETRY_WAIT})
RETRIABLE = frozenset({JobState.FAILED, JobState.CANCELLED})


class Stage(StrEnum):
    """The progress of a live job, as the API shows it."""

    QUEUED = "queued"
    READING = "reading"
    FINALIZING = "finalizing"


@dataclass(frozen=True, slots=True)
class Artifact:
    """The finished file: its key, name, media type, size in bytes and SHA-256."""

    key: str
    file_name: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A file in the artifact store that waits for its job's commit."""

    artifact: Artifact
    records: Mapping[str, int]
    """By sheet."""
    warnings: tuple[ErrorInfo, ...]
    keep_seconds: float
    """How long after the commit retention removes it."""
    findings: Findings = field(default_factory=Findings)
    manifest: Manifest | None = None
    changes: Changes | None = None
    """Where changes were asked for."""


@dataclass(frozen=True, slots=True)
class End:
    """An end of a job, as its event reports it."""

    state: JobState
    at: datetime
    rows: int = 0
    """Of the file."""
    code: str = ""
    """Of the error."""


class Progress(Protocol):
    """How far an attempt is."""

    @property
    def stage(self) -> Stage:
        """What it does now."""

    @property
    def processed(self) -> int:
        """Documents so far."""

    @property
    def total(self) -> int | None:
        """Documents in all, when they could be counted."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A validated request that may become a job."""

    id: str
    tenant: str
    format: str
    options_json: str
    request_hash: str
    max_attempts: int
    schedule_id: str = ""
    schedule_name: str = ""
    request_id: str = ""
    traceparent: str = ""
    profile_id: str = ""
    profile_version: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is stored."""

    id: str
    tenant: str
    format: str
    options_json: str
    request_hash: str
    state: JobState
    created_at: datetime
    updated_at: datetime
    stage: str = ""
    processed: int = 0
    total: int | None = None
    records: Mapping[str, int] = field(default_factory=dict)
    artifact: Artifact | None = None
    manifest: Manifest | None = None
    """Of the file, while it is kept."""
    changes: Changes | None = None
    """What a file with changes has; None: changes were not asked for."""
    dispatch_at: datetime | None = None
    """When the job's wake-up has to be published; None: it is stored, or the job has ended."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    warnings: tuple[ErrorInfo, ...] = ()
    error: ErrorInfo | None = None
    schedule_id: str = ""
    schedule_name: str = ""
    request_id: str = ""
    traceparent: str = ""
    """W3C trace context of the request; all attempts belong to this trace."""
    profile_id: str = ""
    profile_version: int = 0
    """Of the profile whose options the job has; 0 without a profile."""
    fence: int = 0
    attempt: int = 0
    max_attempts: int = 1
    admission: str = ""
    """Token of the request that stored it, until that request has decided that the job stays."""
    has_deliveries: bool | None = None
    """None: the delivery service knows. False: it has found no platform for the job."""
    ends: tuple[End, ...] = ()
    """Those that are still to be reported, oldest first. There are several if it was restarted meanwhile."""
    taken_over: bool = False
    """The current attempt started because the lease of the previous one expired."""


def id_for_key(tenant: str, key: str) -> str:
    """The job id of an idempotency key: uuid5 of tenant and key, so that a repeated request finds the first job."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"catalog-exports:{tenant}:{key}"))
