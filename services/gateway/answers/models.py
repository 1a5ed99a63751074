"""Models of the gateway's response bodies; OpenAPI documents them from here."""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

Status = Literal["processing", "completed", "failed", "cancelled", "expired"]
Stage = Literal["queued", "reading", "finalizing"]


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with `Z`, always with milliseconds, so that times compare as text."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


Instant = Annotated[datetime, PlainSerializer(instant, return_type=str)]
JsonObject = Annotated[str, WithJsonSchema({"type": "object"})]
"""The text of a JSON object. It is put into the body unchanged, so numbers keep all their digits."""


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

    code: str
    message: str


class Progress(Answer):
    """The progress of a job."""

    processed: int = Field(description="Rows read so far.")
    total: int | None = Field(default=None, description="Rows expected, when known.")
    percent: float | None = Field(default=None, description="0 to 100, when the total is known.")


class Accepted(Answer):
    """A job that was just accepted."""

    id: str = Field(description="UUID of the job.")
    status: Status
    format: str
    created_at: Instant


DeliveryStatus = Literal["pending", "sending", "verifying", "retry_wait", "delivered", "failed"]


class JobDelivery(Answer):
    """A delivery in the answer about a job."""

    id: str
    platform_id: str
    platform_name: str
    platform_type: str
    status: DeliveryStatus
    delivered_at: Instant | None = None
    error: Notice | None = None


class Job(Accepted, WithOptions):
    """A job; fields that do not apply to its status are absent."""

    stage: Stage | None = Field(default=None, description="While processing.")
    progress: Progress | None = Field(default=None, description="While processing.")
    attempt: int | None = Field(default=None, description="Number of the attempt, from the second on.")
    total_records: int | None = Field(default=None, description="Rows of all sheets, when completed.")
    records: dict[str, int] | None = Field(default=None, description="Rows by sheet, when completed.")
    file_url: str | None = Field(default=None, description="Signed link; works without a key until it expires.")
    file_name: str | None = None
    file_size: int | None = Field(default=None, description="Bytes.")
    sha256: str | None = Field(default=None, description="Of the file, lower-case hex.")
    completed_at: Instant | None = None
    finished_at: Instant | None = Field(default=None, description="When it ended, however it did.")
    expires_at: Instant | None = Field(default=None, description="When the file is removed.")
    warnings: list[Notice] | None = None
    error: Notice | None = Field(default=None, description="Why it failed, or why the last attempt did.")
    schedule_id: str | None = None
    deliveries: list[JobDelivery] | None = Field(default=None, description="Where the file goes, once it is completed.")


class JobPage(Page[Job]):
    """Jobs, newest first."""


class FieldError(Answer):
    """An invalid field of a request."""

    field: str
    message: str


class Problem(Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, for programs.")
    errors: list[FieldError] | None = None
    request_id: str | None = Field(default=None, description="Leads operators to the logs.")


class Usage(Answer):
    """How much of a limit is used."""

    used: int
    limit: int | None = Field(default=None, description="Absent: there is none.")


class RequestsLeft(Answer):
    """The rate limit of the API key that was used."""

    limit: int
    left: int = Field(description="Requests that are allowed now.")


class Limits(Answer):
    """The limits of the tenant and its usage. What a service did not report is absent, with a note."""

    jobs: Usage | None = Field(default=None, description="Waiting and running.")
    artifact_bytes: Usage | None = Field(default=None, description="Size of the finished files.")
    platforms: Usage | None = None
    schedules: Usage | None = None
    requests_per_minute: RequestsLeft
    notes: list[Notice] | None = None


class Readiness(Answer):
    """Whether the gateway can serve, and the result of each check."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, bool]


def _json(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
