"""Converts jobs to and from MongoDB documents; the only module that knows the names of the stored fields."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document, load
from services.exporter.jobs.job import ENDED, Artifact, End, Job, JobState, NewJob
from services.exporter.manifests.manifest import Changes, Manifest
from services.exporter.transcode.findings import Finding, Findings

MAX_COUNTS = 200
"""Columns and reasons of which the rows are counted in a report, those with most rows first."""


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
        manifest=_manifest(document["manifest"]) if document.get("manifest") else None,
        changes=load(Changes, document["changes"]) if document.get("changes") else None,
        error=load(ErrorInfo, error) if error else None,
        warnings=tuple(load(ErrorInfo, warning) for warning in document.get("warnings", ())),
        ends=_ends(document),
    )


def _ends(document: Document) -> tuple[End, ...]:
    """The ends to report. Older versions kept only the last one, as the job's own state and time."""
    if "ends" in document:
        return tuple(load(End, end, state=JobState(end["state"])) for end in document["ends"])
    state = JobState(document["state"])
    if "event_at" not in document or state not in ENDED:
        return ()
    rows, code = sum(document.get("records", {}).values()), document.get("error", {}).get("code", "")
    return (End(state, document["finished_at"], rows, code),)


def reported_ends(job: Job) -> Document:
    """The condition that a job has no other ends to report than this one has."""
    last = job.ends[-1].at if job.ends else None
    return {"$or": [{"ends": {"$size": len(job.ends)}, "ends.at": last}, {"ends": None, "finished_at": last}]}


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
        **({"profile_id": job.profile_id, "profile_version": job.profile_version} if job.profile_id else {}),
    }


def error_document(notice: ErrorInfo) -> dict[str, Any]:
    """A warning or error as stored."""
    return {"code": notice.code, "message": notice.message}


def report_document(findings: Findings) -> dict[str, Any]:
    """What was found about single rows, as stored: at most about 80 KiB, usually much less."""
    counts, rules = findings.counts.most_common(MAX_COUNTS), findings.rules
    return {
        "rows": [[one.row, one.column, str(one.reason)] for one in findings.listed],
        "counts": [[column, str(reason), rows] for (column, reason), rows in counts],
        # Beside the counts, which older versions read as three values.
        "rules": [[*map(str, key), rules[key]] for key, _ in counts if key in rules],
    }


def to_report(document: Document) -> Findings:
    """The inverse of `report_document`."""
    listed = [Finding(row, column, reason) for row, column, reason in document.get("rows", ())]
    counts = {(column, reason): rows for column, reason, rows in document.get("counts", ())}
    rules = {(column, reason): rule for column, reason, rule in document.get("rules", ())}
    return Findings(listed, Counter(counts), rules)


def _manifest(document: Document) -> Manifest:
    return load(Manifest, document, fields=tuple(document.get("fields", ())))


def manifest_document(manifest: Manifest) -> dict[str, Any]:
    """A manifest as stored; when it is removed is a field of the job."""
    return {name: value for name, value in asdict(manifest).items() if name != "keep_seconds"}


def artifact_document(artifact: Artifact) -> dict[str, Any]:
    """A finished file as stored."""
    return {
        "key": artifact.key,
        "file_name": artifact.file_name,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
    }
