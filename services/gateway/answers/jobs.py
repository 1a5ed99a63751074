"""The exporter's jobs as REST shows them: one word for all live states, and what applies to the status."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.answers import json as answers
from services.wire import delivery_pb2
from services.wire import exporter_pb2 as pb

STATUSES: dict[pb.JobState.ValueType, answers.Status] = {
    pb.JOB_STATE_ACCEPTED: "processing",
    pb.JOB_STATE_RUNNING: "processing",
    pb.JOB_STATE_RETRY_WAIT: "processing",
    pb.JOB_STATE_COMPLETED: "completed",
    pb.JOB_STATE_FAILED: "failed",
    pb.JOB_STATE_CANCELLED: "cancelled",
    pb.JOB_STATE_EXPIRED: "expired",
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
    """A protocol's time in UTC."""
    return stamp.ToDatetime(UTC)


def accepted(job: pb.Job) -> answers.Accepted:
    """What the answer to a request for an export says of its job."""
    return answers.Accepted(id=job.id, status=STATUSES[job.state], format=job.format, created_at=at(job.created_at))


def has_deliveries(job: pb.Job) -> bool:
    """Whether the job's file may be on its way somewhere."""
    return STATUSES[job.state] in ("completed", "expired")


def deliveries(found: delivery_pb2.ListDeliveriesResponse) -> list[answers.JobDelivery]:
    """Where a job's file goes, in short."""
    return [
        answers.JobDelivery(
            id=one.id,
            platform_id=one.platform_id,
            platform_name=one.platform_name,
            platform_type=one.platform_type,
            status=DELIVERY_STATUSES[one.state],
            delivered_at=at(one.delivered_at) if one.HasField("delivered_at") else None,
            error=answers.Notice(code=one.error.code, message=one.error.message) if one.HasField("error") else None,
        )
        for one in found.deliveries
    ]


def shown(job: pb.Job, file_url: str | None, deliveries: Sequence[answers.JobDelivery] | None = None) -> answers.Job:
    """All there is to say of a job; `file_url` for a completed one."""
    status = STATUSES[job.state]
    live, has_file = status == "processing", status == "completed"
    made = status in ("completed", "expired")
    return answers.Job(
        **accepted(job).model_dump(),
        stage=_stage(job) if live else None,
        progress=_progress(job) if live else None,
        attempt=job.attempt if job.attempt > 1 else None,
        total_records=sum(job.records.values()) if made else None,
        records=dict(job.records) if made else None,
        file_url=file_url if has_file else None,
        file_name=job.artifact.file_name if made else None,
        file_size=job.artifact.size if made else None,
        sha256=job.artifact.sha256 if made else None,
        completed_at=at(job.finished_at) if made and job.HasField("finished_at") else None,
        finished_at=at(job.finished_at) if job.HasField("finished_at") else None,
        expires_at=at(job.expires_at) if made and job.HasField("expires_at") else None,
        warnings=[answers.Notice(code=w.code, message=w.message) for w in job.warnings] if made else None,
        error=answers.Notice(code=job.error.code, message=job.error.message) if job.HasField("error") else None,
        schedule_id=job.schedule_id or None,
        deliveries=None if deliveries is None else list(deliveries),
        options=job.options_json or "{}",
    )


def _stage(job: pb.Job) -> answers.Stage:
    match job.stage:
        case "reading" | "finalizing" as stage:
            return stage
        case _:
            return "queued"


def _progress(job: pb.Job) -> answers.Progress:
    if not job.HasField("total"):
        return answers.Progress(processed=job.processed)
    # A total is an estimate: what was read already is at least as many.
    total = max(job.total, job.processed)
    return answers.Progress(
        processed=job.processed, total=total, percent=round(100 * job.processed / total, 1) if total else 100.0
    )
