"""Jobs in REST: one status for all live states, and the fields that apply to the status."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import json_text
from services.gateway.answers import models as answers
from services.wire import delivery_pb2, errors_pb2
from services.wire import exporter_pb2 as pb

POLL_SECONDS = 1
"""`Retry-After` while a job is processing."""
STATUSES: dict[pb.JobState.ValueType, answers.Status] = {
    pb.JOB_STATE_ACCEPTED: "processing",
    pb.JOB_STATE_RUNNING: "processing",
    pb.JOB_STATE_RETRY_WAIT: "processing",
    pb.JOB_STATE_COMPLETED: "completed",
    pb.JOB_STATE_FAILED: "failed",
    pb.JOB_STATE_CANCELLED: "cancelled",
    pb.JOB_STATE_EXPIRED: "expired",
}
STAGES: dict[pb.JobStage.ValueType, answers.Stage] = {
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


def accepted(job: pb.Job) -> answers.Accepted:
    """The answer to a request for an export."""
    return answers.Accepted(id=job.id, status=STATUSES[job.state], format=job.format, created_at=at(job.created_at))


def has_deliveries(job: pb.Job) -> bool:
    """Whether the job can have deliveries."""
    return STATUSES[job.state] in ("completed", "expired")


def deliveries(found: delivery_pb2.ListDeliveriesResponse) -> list[answers.JobDelivery]:
    """The deliveries in the answer about a job."""
    return [
        answers.JobDelivery(
            id=one.id,
            platform_id=one.platform_id,
            platform_name=one.platform_name,
            platform_type=one.platform_type,
            status=DELIVERY_STATUSES[one.state],
            delivered_at=optional_at(one, "delivered_at"),
            error=notice(one.error) if one.HasField("error") else None,
        )
        for one in found.deliveries
    ]


def shown(job: pb.Job, file_url: str | None, deliveries: Sequence[answers.JobDelivery] | None = None) -> answers.Job:
    """A job with all its fields; `file_url` is used when it is completed."""
    status = STATUSES[job.state]
    live, has_file = status == "processing", status == "completed"
    made = status in ("completed", "expired")
    return answers.Job(
        **accepted(job).model_dump(),
        stage=STAGES.get(job.stage, "queued") if live else None,
        progress=_progress(job) if live else None,
        attempt=job.attempt if job.attempt > 1 else None,
        total_records=sum(job.records.values()) if made else None,
        records=dict(job.records) if made else None,
        file_url=file_url if has_file else None,
        file_name=job.artifact.file_name if made else None,
        file_size=job.artifact.size_bytes if made else None,
        sha256=job.artifact.sha256 if made else None,
        completed_at=optional_at(job, "finished_at") if made else None,
        finished_at=optional_at(job, "finished_at"),
        expires_at=optional_at(job, "expires_at") if made else None,
        warnings=[notice(warning) for warning in job.warnings] if made else None,
        error=notice(job.error) if job.HasField("error") else None,
        schedule_id=job.schedule_id or None,
        deliveries=None if deliveries is None else list(deliveries),
        options=_options(job),
    )


def _options(job: pb.Job) -> str:
    text = job.options_json or "{}"
    if not job.HasField("platforms"):
        return text
    return json_text.with_member(text, "platform_ids", json.dumps(list(job.platforms.platform_ids)))


def _progress(job: pb.Job) -> answers.Progress:
    processed = job.processed_documents
    if not job.HasField("total_documents"):
        return answers.Progress(processed=processed)
    # The total is an estimate and cannot be less than what was read.
    total = max(job.total_documents, processed)
    return answers.Progress(
        processed=processed, total=total, percent=round(100 * processed / total, 1) if total else 100.0
    )
