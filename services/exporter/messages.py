"""Jobs to and from the protocol's messages."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import paging as cursors
from services.chassis.faults import BadRequest, Violation
from services.exporter.jobs.job import Job, JobState
from services.wire import exporter_pb2 as pb

STATES: dict[JobState, pb.JobState.ValueType] = {
    state: pb.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState
}
FROM_STATES = {value: state for state, value in STATES.items()}


def from_states(values: Iterable[pb.JobState.ValueType]) -> list[JobState]:
    """The states a list is narrowed to.

    Raises:
        BadRequest: a number that is no state.
    """
    chosen = list(values)
    if unknown := [str(value) for value in chosen if value not in FROM_STATES]:
        raise BadRequest([Violation("states", f"{', '.join(unknown)} is no state of a job")])
    return [FROM_STATES[value] for value in chosen]


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def to_message(job: Job, now: datetime | None = None) -> pb.Job:
    """The job as the protocol shows it; one whose retention is over is expired even before the sweep says so."""
    state = job.state
    if state is JobState.COMPLETED and job.expires_at is not None and job.expires_at <= (now or datetime.now(UTC)):
        state = JobState.EXPIRED
    message = pb.Job(
        id=job.id,
        tenant=job.tenant,
        format=job.format,
        options_json=job.options_json,
        state=STATES[state],
        stage=job.stage,
        processed=job.processed,
        total=job.total,
        records=dict(job.records),
        created_at=_stamp(job.created_at),
        started_at=_stamp(job.started_at),
        finished_at=_stamp(job.finished_at),
        expires_at=_stamp(job.expires_at),
        warnings=[pb.Warning(code=w.code, message=w.message) for w in job.warnings],
        schedule_id=job.schedule_id,
        schedule_name=job.schedule_name,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        fence=job.fence,
        traceparent=job.traceparent,
    )
    if job.error is not None:
        message.error.CopyFrom(pb.JobError(code=job.error.code, message=job.error.message))
    if job.artifact is not None:
        message.artifact.CopyFrom(
            pb.Artifact(
                key=job.artifact.key,
                file_name=job.artifact.file_name,
                media_type=job.artifact.media_type,
                size=job.artifact.size,
                sha256=job.artifact.sha256,
            )
        )
    return message


def from_since(request: pb.ListCompletionsRequest) -> datetime:
    """The time from which completions are asked for; without one, the beginning.

    Raises:
        BadRequest: a time that is none.
    """
    try:
        return request.since.ToDatetime(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadRequest([Violation("since", "is not a time")]) from exc


def from_cursor(cursor: str) -> tuple[datetime, str] | None:
    """The position a cursor stands for; None for the beginning.

    Raises:
        BadRequest: not a cursor of ours.
    """
    try:
        return cursors.from_cursor(cursor)
    except ValueError as exc:
        raise BadRequest([Violation("cursor", "is not a cursor of this list; start without one")]) from exc
