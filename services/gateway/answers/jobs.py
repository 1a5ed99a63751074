"""Jobs in REST: one status for all live states, and the fields that apply to the status."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import json_text
from services.gateway.answers import models as answers
from services.wire import delivery_pb2, errors_pb2, profiles_pb2
from services.wire import exporter_pb2 as pb

POLL_SECONDS = 1
"""`Retry-After` while a job is processing."""
STATUSES: dict[pb.JobState.ValueType, answers.JobStatus] = {
    pb.JOB_STATE_ACCEPTED: "processing",
    pb.JOB_STATE_RUNNING: "processing",
    pb.JOB_STATE_RETRY_WAIT: "processing",
    pb.JOB_STATE_COMPLETED: "completed",
    pb.JOB_STATE_FAILED: "failed",
    pb.JOB_STATE_CANCELLED: "cancelled",
    pb.JOB_STATE_EXPIRED: "expired",
}
STAGES: dict[pb.JobStage.ValueType, answers.JobStage] = {
    pb.JOB_STAGE_QUEUED: "queued",
    pb.JOB_STAGE_READING: "reading",
    pb.JOB_STAGE_FINALIZING: "finalizing",
}

DELIVERY_STATUSES: dict[delivery_pb2.DeliveryState.ValueType, answers.DeliveryStatus] = {
    delivery_pb2.DELIVERY_STATE_PENDING: "pending",
    delivery_pb2.DELIVERY_STATE_SENDING: "sending",
    delivery_pb2.DELIVERY_STATE_VERIFYING: "verifying",
    delivery_pb2.DELIVERY_STATE_RETRY_WAIT: "retry_wait",
    delivery_pb2.DELIVERY_STATE_DELIVERED: "delivered",
    delivery_pb2.DELIVERY_STATE_FAILED: "failed",
}


def at(stamp: Timestamp) -> datetime:
    """The time of a message, in UTC."""
    return stamp.ToDatetime(UTC)


def optional_at(message: Message, field: str) -> datetime | None:
    """The time in a field of a message; None when it is absent."""
    return at(getattr(message, field)) if message.HasField(field) else None


def notice(message: errors_pb2.ErrorInfo | pb.Warning) -> answers.Notice:
    """An error or a warning."""
    return answers.Notice(code=message.code, message=message.message)


def preflight(found: pb.PreviewJobResponse) -> answers.Preflight:
    """What an export would make."""
    return answers.Preflight(
        problems=[answers.FieldError(field=one.field, message=one.message) for one in found.problems],
        warnings=[notice(one) for one in found.warnings],
        columns=list(found.columns) or None,
        rows=found.rows if found.HasField("rows") else None,
        is_estimate=found.is_estimate,
        size_bytes=found.size_bytes if found.HasField("size_bytes") else None,
        seconds=found.duration.ToMilliseconds() / 1_000 if found.HasField("duration") else None,
        sample=found.sample or None,
    )


def report(found: pb.GetJobReportResponse) -> answers.Report:
    """What happened to single rows."""
    return answers.Report(
        rows=[
            answers.ReportedRow(row_id=one.row_id, column=one.column, reason=one.reason, rule=one.rule or None)
            for one in found.rows
        ],
        counts=[
            answers.ReportCount(column=one.column, reason=one.reason, rows=one.rows, rule=one.rule or None)
            for one in found.counts
        ],
    )


def report_csv(found: pb.GetJobReportResponse) -> str:
    """The listed rows as CSV (RFC 4180); `'` before what a spreadsheet would take for a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("row_id", "column", "reason", "rule"))
    writer.writerows([_plain(one.row_id), _plain(one.column), one.reason, one.rule] for one in found.rows)
    return out.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(tuple("=+-@\t\r")) else text


def accepted(job: pb.Job) -> answers.Accepted:
    """The answer to a request for an export."""
    return answers.Accepted(id=job.id, status=STATUSES[job.state], format=job.format, created_at=at(job.created_at))


def may_have_deliveries(job: pb.Job) -> bool:
    """Whether the job can have deliveries."""
    return STATUSES[job.state] in ("completed", "expired")


def deliveries(found: delivery_pb2.ListDeliveriesResponse) -> list[answers.JobDelivery]:
    """The deliveries in the answer about a job."""
    return [
        answers.JobDelivery(
            id=one.id,
            platform_id=one.platform_id,
            platform_name=one.platform_name or None,
            platform_type=one.platform_type or None,
            status=DELIVERY_STATUSES[one.state],
            delivered_at=optional_at(one, "delivered_at"),
            error=notice(one.error) if one.HasField("error") else None,
        )
        for one in found.deliveries
    ]


class Link(Protocol):
    """A link to a job's file."""

    @property
    def url(self) -> str:
        """The link."""

    @property
    def expires_at(self) -> datetime:
        """When it ends."""


def shown(job: pb.Job, link: Link | None, deliveries: Sequence[answers.JobDelivery] | None = None) -> answers.Job:
    """A job with all its fields; `link` is shown when it is completed."""
    status = STATUSES[job.state]
    live, has_file = status == "processing", status == "completed"
    made = status in ("completed", "expired")
    return answers.Job(
        **accepted(job).model_dump(),
        stage=STAGES.get(job.stage, "queued") if live else None,
        progress=_progress(job) if live else None,
        attempt=job.attempt if job.attempt > 1 else None,
        total_records=sum(job.records.values()) if made else None,
        records=_records(job) if made else None,
        base_job_id=(job.changes.base_job_id or None) if made else None,
        base_sha256=(job.changes.base_sha256 or None) if made else None,
        changes_number=job.changes.number if made and job.HasField("changes") else None,
        has_manifest=job.has_manifest or None,
        file_url=link.url if link is not None and has_file else None,
        file_url_expires_at=link.expires_at if link is not None and has_file else None,
        file_name=job.artifact.file_name if made else None,
        file_size=job.artifact.size_bytes if made else None,
        sha256=job.artifact.sha256 if made else None,
        completed_at=optional_at(job, "finished_at") if made else None,
        finished_at=optional_at(job, "finished_at"),
        expires_at=optional_at(job, "expires_at") if made else None,
        warnings=[notice(warning) for warning in job.warnings] if made else None,
        error=notice(job.error) if job.HasField("error") else None,
        schedule_id=job.schedule_id or None,
        profile_id=job.profile_id or None,
        profile_version=job.profile_version or None,
        deliveries=None if deliveries is None else list(deliveries),
        options=with_platforms(job),
    )


def _records(job: pb.Job) -> dict[str, int]:
    """The rows of each sheet; of a file with changes also how many rows were added and so on."""
    if not job.changes.base_job_id:
        return dict(job.records)
    names = ("added", "changed", "deleted", "unchanged")
    return {**job.records, **{name: getattr(job.changes, name) for name in names}}


def sent_options(text: str) -> str:
    """Options as they were sent, without those that are null: these have their default, as if they were absent."""
    for name in [name for name, value in json_text.members(text or "{}") if value == "null"]:
        text = json_text.without(text, name)
    return text or "{}"


def with_platforms(message: pb.Job | profiles_pb2.Profile) -> str:
    """The options of a job or profile as they were sent, with the platforms that they select."""
    text = sent_options(message.options_json)
    if not message.HasField("platforms"):
        return text
    return json_text.with_member(text, "platform_ids", json.dumps(list(message.platforms.platform_ids)))


def _progress(job: pb.Job) -> answers.Progress:
    processed = job.processed_documents
    if not job.HasField("total_documents"):
        return answers.Progress(processed=processed)
    # The total is an estimate and cannot be less than what was read.
    total = max(job.total_documents, processed)
    return answers.Progress(
        processed=processed, total=total, percent=round(100 * processed / total, 1) if total else 100.0
    )
