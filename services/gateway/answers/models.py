"""Models of the gateway's response bodies; OpenAPI documents them from here."""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from typing_extensions import TypeAliasType

from services.chassis.timestamps import rfc3339
from services.gateway.answers.described import (
    Code,
    Count,
    FormatName,
    Id,
    JsonObject,
    PlatformType,
    RequestId,
    Sha256,
    Url,
)

JobStatus = TypeAliasType("JobStatus", Literal["processing", "completed", "failed", "cancelled", "expired"])
JobStage = TypeAliasType("JobStage", Literal["queued", "reading", "finalizing"])
DeliveryStatus = TypeAliasType(
    "DeliveryStatus", Literal["pending", "sending", "verifying", "retry_wait", "delivered", "failed"]
)


Instant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Answer(BaseModel):
    """Base of all bodies; fields that do not apply are absent."""

    model_config = ConfigDict(frozen=True)

    def text(self) -> str:
        """The body."""
        return self.model_dump_json(exclude_none=True)


class WithOptions(Answer):
    """Base of bodies with options."""

    options: JsonObject = Field(description="The options of the format, as they were sent.")

    def text(self) -> str:
        """The body, with the options as they were sent."""
        shown = self.model_dump_json(exclude_none=True, exclude={"options"})
        return f'{shown.removesuffix("}")},"options":{self.options}}}'


Item = TypeVar("Item", bound=Answer)


class Page(Answer, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="For the next page; null: this is the last.")

    def text(self) -> str:
        """The body; `next_cursor` is present even when it is null."""
        return f'{{"items":[{",".join(item.text() for item in self.items)}],"next_cursor":{_json(self.next_cursor)}}}'


class Notice(Answer):
    """A code for programs, a sentence for people."""

    code: Code = Field(description="Stable, for programs.")
    message: str = Field(description="For people; may change.")


class Progress(Answer):
    """The progress of a job."""

    processed: Count = Field(description="Rows read so far.")
    total: Count | None = Field(default=None, description="Rows expected, when known.")
    percent: float | None = Field(default=None, ge=0, le=100, description="When the total is known.")


class Accepted(Answer):
    """A job that was just accepted."""

    id: Id
    status: JobStatus
    format: FormatName
    created_at: Instant


class JobDelivery(Answer):
    """A delivery in the answer about a job."""

    id: Id
    platform_id: Id
    platform_name: str | None = Field(default=None, description="Absent: there was no such platform.")
    platform_type: PlatformType | None = None
    status: DeliveryStatus
    delivered_at: Instant | None = None
    error: Notice | None = None


class Job(Accepted, WithOptions):
    """A job; fields that do not apply to its status are absent."""

    stage: JobStage | None = Field(default=None, description="While processing.")
    progress: Progress | None = Field(default=None, description="While processing.")
    attempt: Count | None = Field(default=None, description="Number of the attempt, from the second on.")
    total_records: Count | None = Field(default=None, description="Rows of all sheets, when completed.")
    records: dict[str, Count] | None = Field(
        default=None,
        description="Rows by sheet, when completed. With `changes_since` also how many rows were `added`, `changed`, "
        "`deleted` and `unchanged`.",
    )
    base_job_id: Id | None = Field(default=None, description="The export that a file with changes is based on.")
    base_sha256: Sha256 | None = Field(default=None, description="Of the file of that export.")
    changes_number: Count | None = Field(
        default=None, description="With `changes_since`: one more than that of the base; 0 for a file with all rows."
    )
    has_manifest: bool | None = Field(default=None, description="true: other exports can have the changes since it.")
    file_url: Url | None = Field(default=None, description="Signed link; works without a key until it expires.")
    file_url_expires_at: Instant | None = Field(default=None, description="Get the job again for a later one.")
    file_name: str | None = Field(default=None, description="When completed.")
    file_size: Count | None = Field(default=None, description="Bytes, when completed.")
    sha256: Sha256 | None = Field(default=None, description="Of the file, when completed.")
    completed_at: Instant | None = Field(default=None, description="When completed.")
    finished_at: Instant | None = Field(default=None, description="When it ended, however it did.")
    expires_at: Instant | None = Field(default=None, description="When the file is removed.")
    warnings: list[Notice] | None = Field(default=None, description="When completed; often empty.")
    error: Notice | None = Field(default=None, description="Why it failed, or why the last attempt did.")
    schedule_id: Id | None = Field(default=None, description="The schedule that has requested it.")
    profile_id: Id | None = Field(default=None, description="The profile that its format and options come from.")
    profile_version: Count | None = Field(default=None, description="The version of the profile.")
    deliveries: list[JobDelivery] | None = Field(default=None, description="Where the file goes, once it is completed.")


class JobPage(Page[Job]):
    """Jobs, newest first."""


class ReportedRow(Answer):
    """A row that was left out, or one with a text that was cut or a value that the receiver refuses."""

    row_id: str = Field(description="The product's id, as exported in the column `id`.")
    column: str = Field(description="The header of the column.")
    reason: Code = Field(description="`skipped_row`, `cut_text`, or that of a feed template; there may be more.")
    rule: str | None = Field(default=None, description="With a feed template: what the receiver accepts.")


class ReportCount(Answer):
    """How many rows have the same column and reason."""

    column: str = Field(description="The header of the column.")
    reason: Code = Field(description="As in `rows`.")
    rows: Count = Field(description="Listed or not.")
    rule: str | None = Field(default=None, description="As in `rows`.")


class Report(Answer):
    """What the columns of a request did to single rows of the file."""

    rows: list[ReportedRow] = Field(description="The first 100.")
    counts: list[ReportCount] = Field(description="Of all rows; those with most rows first.")


class FieldError(Answer):
    """An invalid field of a request."""

    field: str = Field(description="Its name, with those of the objects around it: `config.bucket`.")
    message: str = Field(description="What is wrong, for people.")


class Preflight(Answer):
    """What an export would make."""

    problems: list[FieldError] = Field(description="Why it would be refused, or fail; empty: nothing was found.")
    warnings: list[Notice] = Field(description="What to check although the file would be complete.")
    columns: list[str] | None = Field(default=None, description="Of the first products; absent for nested JSON.")
    rows: Count | None = Field(default=None, description="Of the file; absent if it could not be found out in time.")
    is_estimate: bool = Field(description="`rows` was not counted exactly.")
    size_bytes: Count | None = Field(default=None, description="Of the file, about.")
    seconds: float | None = Field(
        default=None, ge=0, description="From start to end, about, as measured at the newest file in this format."
    )
    sample: str | None = Field(
        default=None, description="The first 20 rows as the file has them; for ZIP and Excel as CSV."
    )


class Problem(Answer):
    """Why a request was not successful (RFC 9457)."""

    type: Url = Field(description="A URN that ends with the code.")
    title: str = Field(description="The name of the status.")
    status: int = Field(ge=400, le=599, description="As in the response.")
    detail: str = Field(description="What went wrong, for people; may change.")
    code: Code = Field(description="Stable, for programs.")
    errors: list[FieldError] | None = Field(default=None, description="The invalid fields of the request.")
    request_id: RequestId | None = Field(default=None, description="Leads operators to the logs.")


class Usage(Answer):
    """How much of a limit is used."""

    used: Count
    limit: Count | None = Field(default=None, description="Absent: there is none.")


class RequestsLeft(Answer):
    """The rate limit of the API key that was used."""

    limit: Count
    left: Count = Field(description="Requests that are allowed now.")


class Limits(Answer):
    """The limits of the tenant and its usage. What a service did not report is absent, with a note."""

    jobs: Usage | None = Field(default=None, description="Waiting and running.")
    artifact_bytes: Usage | None = Field(default=None, description="Size of the finished files.")
    platforms: Usage | None = None
    schedules: Usage | None = None
    profiles: Usage | None = None
    webhooks: Usage | None = None
    requests_per_minute: RequestsLeft
    notes: list[Notice] | None = None


class Me(Answer):
    """Who calls: the tenant and the API key, what the key may do, and what the tenant may use."""

    tenant: str
    key_id: str = Field(description="The `<id>` of `cx_<id>_<secret>`.")
    key_name: str
    scopes: list[str] = Field(description="`*`: all of them.")
    key_expires_at: Instant | None = None
    limits: Limits


class Readiness(Answer):
    """Whether the gateway can serve, and the result of each check."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, bool]


def _json(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
