"""Jobs to and from their MongoDB documents; the only place that knows the fields' names in the database."""

from typing import Any

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document
from services.exporter.jobs.job import Artifact, Job, JobState, NewJob


def from_document(document: Document) -> Job:
    """The job in a document of the `jobs` collection."""
    artifact = document.get("artifact")
    error = document.get("error")
    return Job(
        id=document["_id"],
        state=JobState(document["state"]),
        artifact=Artifact(**artifact) if artifact else None,
        error=ErrorInfo(**error) if error else None,
        warnings=tuple(ErrorInfo(**warning) for warning in document.get("warnings", ())),
        **{name: document[name] for name in _PLAIN if name in document},
    )


_PLAIN = (
    "tenant",
    "format",
    "options_json",
    "request_hash",
    "created_at",
    "updated_at",
    "stage",
    "processed",
    "total",
    "records",
    "started_at",
    "finished_at",
    "expires_at",
    "schedule_id",
    "schedule_name",
    "request_id",
    "traceparent",
    "fence",
    "attempt",
    "max_attempts",
    "taken_over",
)


def new_document(job: NewJob) -> Document:
    """The fields of a job that was just accepted, without its id and times."""
    return {
        "tenant": job.tenant,
        "format": job.format,
        "options_json": job.options_json,
        "request_hash": job.request_hash,
        "state": JobState.ACCEPTED.value,
        "stage": "queued",
        "processed": 0,
        "total": None,
        "fence": 0,
        "attempt": 0,
        "max_attempts": job.max_attempts,
        "schedule_id": job.schedule_id,
        "schedule_name": job.schedule_name,
        "request_id": job.request_id,
        "traceparent": job.traceparent,
    }


def error_document(notice: ErrorInfo) -> dict[str, Any]:
    """A warning or error as stored."""
    return {"code": notice.code, "message": notice.message}


def artifact_document(artifact: Artifact) -> dict[str, Any]:
    """A finished file as stored."""
    return {
        "key": artifact.key,
        "file_name": artifact.file_name,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
    }
