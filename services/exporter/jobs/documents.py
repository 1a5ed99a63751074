"""Converts jobs to and from MongoDB documents; the only module that knows the names of the stored fields."""

from typing import Any

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document, load
from services.exporter.jobs.job import Artifact, Job, JobState, NewJob


def from_document(document: Document) -> Job:
    """The job in a document of the `jobs` collection."""
    artifact, error = document.get("artifact"), document.get("error")
    return load(
        Job,
        document,
        id=document["_id"],
        options_json=document.get("options_json", ""),
        state=JobState(document["state"]),
        artifact=load(Artifact, artifact) if artifact else None,
        error=load(ErrorInfo, error) if error else None,
        warnings=tuple(load(ErrorInfo, warning) for warning in document.get("warnings", ())),
    )


def new_document(job: NewJob) -> Document:
    """The fields of a newly accepted job, without its id and times."""
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
