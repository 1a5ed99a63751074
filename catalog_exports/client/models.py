"""What the API answers, as it is in its OpenAPI document; fields that are not known here are kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel, ConfigDict, PlainSerializer


def _instant(at: datetime) -> str:
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


Instant = Annotated[datetime, PlainSerializer(_instant, return_type=str)]
"""A time in UTC, written as the API writes it."""


class Model(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def as_json(self) -> dict[str, Any]:
        """The answer as it was received; what was absent stays absent."""
        return self.model_dump(mode="json", exclude_unset=True)


class Page(Model):
    """A page of a list."""

    items: tuple[dict[str, Any], ...]
    next_cursor: str | None


class Notice(Model):
    """A code for programs, a sentence for people."""

    code: str
    message: str


class FieldError(Model):
    """An invalid field of a request."""

    field: str
    message: str


class Problem(Model):
    """An error (RFC 9457)."""

    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()
    request_id: str | None = None


class Progress(Model):
    """Rows read so far; `total` and `percent` once they are known."""

    processed: int
    total: int | None = None
    percent: float | None = None


class JobDelivery(Model):
    """Where a file goes, in the answer about its job."""

    id: str
    platform_id: str
    platform_name: str | None = None
    platform_type: str | None = None
    status: str
    delivered_at: Instant | None = None
    error: Notice | None = None


class JobData(Model):
    """An export; fields that do not apply to its status are None.

    `status` is processing, completed, failed, cancelled or expired. Later versions may have more.
    """

    id: str
    status: str
    format: str
    created_at: Instant
    stage: str | None = None
    progress: Progress | None = None
    attempt: int | None = None
    total_records: int | None = None
    records: dict[str, int] | None = None
    base_job_id: str | None = None
    base_sha256: str | None = None
    changes_number: int | None = None
    has_manifest: bool | None = None
    file_url: str | None = None
    file_name: str | None = None
    file_size: int | None = None
    sha256: str | None = None
    completed_at: Instant | None = None
    finished_at: Instant | None = None
    expires_at: Instant | None = None
    warnings: tuple[Notice, ...] | None = None
    error: Notice | None = None
    schedule_id: str | None = None
    profile_id: str | None = None
    profile_version: int | None = None
    deliveries: tuple[JobDelivery, ...] | None = None
    options: dict[str, Any] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status == "processing"


class Receipt(Model):
    """Proof of a delivery."""

    remote: str
    url: str | None = None
    size: int
    sha256: str | None = None
    reported: dict[str, str]
    seconds: float
    bytes_per_second: float | None = None
    was_there: bool
    base_job_id: str | None = None
    base_sha256: str | None = None
    changes_number: int | None = None


class Attempt(Model):
    """One attempt of a delivery that ended."""

    started_at: Instant
    ended_at: Instant
    step: str | None = None
    error: Notice | None = None


class Delivery(Model):
    """The upload of a job's file to a platform."""

    id: str
    job_id: str
    platform_id: str
    platform_name: str | None = None
    platform_type: str | None = None
    status: str
    file_name: str | None = None
    size: int
    bytes_sent: int
    sha256: str
    attempt: int
    max_attempts: int
    created_at: Instant
    delivered_at: Instant | None = None
    next_attempt_at: Instant | None = None
    receipt: Receipt | None = None
    error: Notice | None = None
    attempts: tuple[Attempt, ...] = ()


class Platform(Model):
    """A place that files are delivered to; secrets in `config` are masked. A new one has no `config`."""

    id: str
    name: str
    platform_type: str
    is_active: bool
    created_at: Instant
    config: dict[str, Any] | None = None
    updated_at: Instant | None = None


class Profile(Model):
    """An export that is saved under a name, or an earlier version of it."""

    id: str
    name: str
    format: str
    version: int
    created_at: Instant
    updated_at: Instant
    options: dict[str, Any]


class TestStep(Model):
    """One step of a platform's test."""

    step: str
    ok: bool
    seconds: float
    code: str | None = None
    message: str | None = None


class PlatformTest(Model):
    """How the test of a platform went; `failed_step` is the first that did not work."""

    ok: bool
    failed_step: str | None = None
    steps: tuple[TestStep, ...]


class Run(Model):
    """What became of a fire time of a schedule."""

    id: str
    status: str
    fire_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    job_id: str | None = None
    is_manual: bool
    reason: str | None = None
    skipped: int | None = None


class Schedule(Model):
    """A recurring export. A new one has only the fields up to `next_run_at`, which a paused one does not have."""

    id: str
    schedule_name: str
    cron_expression: str
    timezone: str
    is_active: bool
    created_at: Instant
    next_run_at: Instant | None = None
    platform_id: str | None = None
    format: str | None = None
    profile_id: str | None = None
    misfire: str | None = None
    overlap: str | None = None
    jitter_seconds: int | None = None
    changes: bool | None = None
    empty: str | None = None
    full_every: int | None = None
    updated_at: Instant | None = None
    last_run: Run | None = None
    options: dict[str, Any] | None = None


class Baseline(Model):
    """What the next file with changes of a schedule is based on; without a `job_id`, it will have all rows."""

    job_id: str | None = None
    sha256: str | None = None
    number: int | None = None
    completed_at: Instant | None = None


class FireTime(Model):
    """A time at which a schedule will run; `note` says what a clock change does to it."""

    at: Instant
    local: str
    utc_offset: str
    note: str | None = None


class FireTimes(Model):
    """The next times of a schedule."""

    items: tuple[FireTime, ...]


class Usage(Model):
    """How much of a limit is used; without `limit` there is none."""

    used: int
    limit: int | None = None


class RequestsLeft(Model):
    """The rate limit of the API key."""

    limit: int
    left: int


class Limits(Model):
    """The limits of the tenant and its usage."""

    jobs: Usage | None = None
    artifact_bytes: Usage | None = None
    platforms: Usage | None = None
    schedules: Usage | None = None
    profiles: Usage | None = None
    requests_per_minute: RequestsLeft
    notes: tuple[Notice, ...] | None = None


class ReportedRow(Model):
    """A row that was left out, or one with a text that was cut or a value that the receiver refuses."""

    row_id: str
    column: str
    reason: str
    rule: str | None = None


class ReportCount(Model):
    """How many rows have the same column and reason."""

    column: str
    reason: str
    rows: int
    rule: str | None = None


class Report(Model):
    """What the columns of a request did to single rows; `rows` are the first 100."""

    rows: tuple[ReportedRow, ...]
    counts: tuple[ReportCount, ...]


class TemplateRule(Model):
    """A rule of a receiver in words; reports give the reason where a row breaks it."""

    reason: str
    rule: str


class TemplateColumn(Model):
    """What a receiver accepts in a column."""

    name: str
    required: bool
    kind: str
    values: tuple[str, ...] | None = None
    max_length: int | None = None
    rules: tuple[TemplateRule, ...]


class Template(Model):
    """What the receiver of a feed accepts; chosen with the option `template`."""

    name: str
    title: str
    formats: tuple[str, ...]
    sources: tuple[str, ...]
    read_on: str
    columns: tuple[TemplateColumn, ...]
    one_of: tuple[tuple[str, ...], ...]


class TemplateList(Model):
    """All feed templates."""

    items: tuple[Template, ...]


class ExportOptions(TypedDict, total=False):
    """Options of an export (docs/api.md, "Create an export"); which apply depends on the format."""

    filters: Mapping[str, Any]
    include_fields: Sequence[str]
    exclude_fields: Sequence[str]
    columns: Sequence[str | Mapping[str, Any]]
    template: str
    locales: Sequence[str]
    locale_fallback: Mapping[str, Sequence[str]]
    currencies: Sequence[str]
    limit: int
    explode: str
    order_by: Sequence[str]
    file_name: str
    platform_ids: Sequence[str]
    utf8_bom: bool
    delimiter: str
    escape_formulas: bool
    pretty: bool
    json_lines: bool
    decimals: str
    include_sheets: Sequence[str]
    formatting: bool
    max_rows_per_file: int
    compression: str
    root: str
    row: str
    style: str
    cdata: Sequence[str]
    namespaces: Mapping[str, str]
    channel: Mapping[str, str]


class Webhook(Model):
    """An endpoint that gets requests about events."""

    id: str
    url: str
    events: tuple[str, ...]
    is_active: bool
    created_at: Instant
    updated_at: Instant
    failing_since: Instant | None = None
    paused_at: Instant | None = None
    pause_reason: str | None = None
    previous_secret_expires_at: Instant | None = None


class WebhookWithSecret(Webhook):
    """A webhook that was just created, or whose secret was rotated; the secret is shown only then."""

    secret: str


class WebhookAttempt(Model):
    """One request to a webhook, and how it ended."""

    sent_at: Instant
    status_code: int | None = None
    seconds: float
    ok: bool
    error: str | None = None


class WebhookMessage(Model):
    """An event that was, or is to be, reported to a webhook."""

    event_id: str
    type: str
    status: str
    attempts: tuple[WebhookAttempt, ...]
    created_at: Instant
    next_attempt_at: Instant | None = None


class Replayed(Model):
    """How many events are sent again."""

    events: int


class Event(Model):
    """Something that has happened; `sequence` is its place among the tenant's events."""

    id: str
    type: str
    sequence: int
    timestamp: Instant
    data: dict[str, Any]


class EventPage(Model):
    """Events in order, and the number after which the next ones follow."""

    items: tuple[Event, ...]
    next_after: int
