"""Jobs to and from the messages of exporter.proto."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime

from services.chassis import json_text
from services.chassis.faults import BadRequest, ErrorInfo, Violation
from services.chassis.timestamps import to_timestamp
from services.exporter.export.preflight import Preflight
from services.exporter.jobs.job import Artifact, Job, JobState, Stage
from services.exporter.manifests.manifest import Changes
from services.exporter.profiles.profile import Profile
from services.exporter.templates import Template
from services.exporter.transcode.cell_checks import rules_of
from services.exporter.transcode.findings import Findings
from services.wire import errors_pb2, profiles_pb2
from services.wire import exporter_pb2 as pb

STATES: dict[JobState, pb.JobState.ValueType] = {
    state: pb.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState
}
FROM_STATES = {value: state for state, value in STATES.items()}
STAGES: dict[str, pb.JobStage.ValueType] = {stage: pb.JobStage.Value(f"JOB_STAGE_{stage.name}") for stage in Stage}
PLATFORM_IDS = "platform_ids"
"""The option that holds the selection of platforms in stored jobs and in REST; in messages it has its own field."""


def options_of(
    request: pb.CreateJobRequest | profiles_pb2.CreateProfileRequest | profiles_pb2.UpdateProfileRequest,
) -> str:
    """The options as they are stored, with the selection of platforms as the last one."""
    text = request.options_json or "{}"
    if not request.HasField("platforms"):
        return text
    return json_text.with_member(text, PLATFORM_IDS, json.dumps(list(request.platforms.platform_ids)))


def refuse_selection(options_json: str) -> None:
    """Refuse options that select platforms: a message has a field for that. Others may be invalid.

    Args:
        options_json: a JSON object.

    Raises:
        BadRequest: `platform_ids` is among them.
    """
    if _selection(options_json)[1] is not None:
        raise BadRequest([Violation(PLATFORM_IDS, "must be sent in the field `platforms`")])


def to_message(job: Job, now: datetime | None = None) -> pb.Job:
    """The job as a message; it is expired when its retention is over, even before the sweep has removed the file."""
    state = job.state
    if state is JobState.COMPLETED and job.expires_at is not None and job.expires_at <= (now or datetime.now(UTC)):
        state = JobState.EXPIRED
    options_json, platforms = _selection(job.options_json)
    return pb.Job(
        id=job.id,
        tenant=job.tenant,
        format=job.format,
        options_json=options_json,
        platforms=platforms,
        state=STATES[state],
        stage=STAGES.get(job.stage, pb.JOB_STAGE_UNSPECIFIED),
        processed_documents=job.processed,
        total_documents=job.total,
        records=dict(job.records),
        artifact=None if job.artifact is None else _artifact(job.artifact),
        created_at=to_timestamp(job.created_at),
        started_at=to_timestamp(job.started_at),
        finished_at=to_timestamp(job.finished_at),
        expires_at=to_timestamp(job.expires_at),
        warnings=_warnings(job.warnings),
        error=None if job.error is None else errors_pb2.ErrorInfo(code=job.error.code, message=job.error.message),
        schedule_id=job.schedule_id,
        schedule_name=job.schedule_name,
        profile_id=job.profile_id,
        profile_version=job.profile_version,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        has_deliveries=job.has_deliveries,
        changes=None if job.changes is None else _changes(job.changes),
        has_manifest=job.manifest is not None,
    )


def to_file_message(job: Job) -> pb.JobFile:
    """The job and what is needed to read its file; a file that is not to be delivered goes to no platform."""
    key = job.artifact.key if job.artifact is not None else ""
    message = to_message(job)
    if job.changes is not None and job.changes.skips_delivery:
        message.platforms.CopyFrom(pb.PlatformSelection())
    return pb.JobFile(job=message, artifact_key=key, traceparent=job.traceparent)


def _changes(found: Changes) -> pb.Changes:
    given = asdict(found)
    del given["skips_delivery"]
    return pb.Changes(**given)


def profile_message(profile: Profile) -> profiles_pb2.Profile:
    """The profile, or a version of it, as a message."""
    options_json, platforms = _selection(profile.options_json)
    return profiles_pb2.Profile(
        id=profile.id,
        tenant=profile.tenant,
        name=profile.name,
        format=profile.format,
        options_json=options_json,
        platforms=platforms,
        version=profile.version,
        created_at=to_timestamp(profile.created_at),
        updated_at=to_timestamp(profile.updated_at),
    )


def to_report_message(findings: Findings) -> pb.GetJobReportResponse:
    """A report as a message."""
    rules = findings.rules
    rows = [
        pb.ReportedRow(
            row_id=one.row, column=one.column, reason=one.reason, rule=rules.get((one.column, one.reason), "")
        )
        for one in findings.listed
    ]
    counts = [
        pb.ReportCount(column=column, reason=reason, rows=count, rule=rules.get((column, reason), ""))
        for (column, reason), count in findings.counts.most_common()
    ]
    return pb.GetJobReportResponse(rows=rows, counts=counts)


def to_template_message(template: Template) -> pb.TemplateDescription:
    """A feed template as a message."""
    columns = []
    for name, column in template.columns.items():
        check = template.check(name)
        columns.append(
            pb.TemplateColumn(
                name=name,
                required=column.required,
                values=column.values,
                max_length=column.max_length or 0,
                kind=column.kind,
                rules=[pb.TemplateRule(reason=reason, rule=rule) for reason, rule in rules_of(check).items()],
            )
        )
    return pb.TemplateDescription(
        name=template.name,
        title=template.title,
        formats=sorted(template.formats),
        sources=template.sources,
        read_on=template.read_on.isoformat(),
        columns=columns,
        one_of=[pb.ColumnGroup(columns=group) for group in template.one_of],
    )


def to_preview_message(found: Preflight) -> pb.PreviewJobResponse:
    """A preflight as a message."""
    message = pb.PreviewJobResponse(
        problems=[pb.FieldProblem(field=one.field, message=one.message) for one in found.problems],
        warnings=_warnings(found.warnings),
        columns=found.columns,
        rows=found.rows,
        is_estimate=found.is_estimate,
        size_bytes=found.bytes,
        sample=found.shown,
    )
    if found.seconds is not None:
        message.duration.FromMilliseconds(round(found.seconds * 1_000))
    return message


def _warnings(found: Iterable[ErrorInfo]) -> list[pb.Warning]:
    return [pb.Warning(code=one.code, message=one.message) for one in found]


def _artifact(artifact: Artifact) -> pb.Artifact:
    return pb.Artifact(
        file_name=artifact.file_name,
        media_type=artifact.media_type,
        size_bytes=artifact.size,
        sha256=artifact.sha256,
    )


def _selection(options_json: str) -> tuple[str, pb.PlatformSelection | None]:
    """Options without the selection of platforms, and the selection; a value of another type stays among them."""
    if not _may_select(options_json):
        return options_json, None
    selected = dict(json_text.members(options_json)).get(PLATFORM_IDS)
    ids = None if selected is None else json.loads(selected)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        return options_json, None
    return json_text.without(options_json, PLATFORM_IDS), pb.PlatformSelection(platform_ids=ids)


def _may_select(options_json: str) -> bool:
    """Whether the options, which may be long, have to be parsed; a name may be written with escapes."""
    return PLATFORM_IDS in options_json or "\\u" in options_json
