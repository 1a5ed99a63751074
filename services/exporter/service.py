"""Implements ExporterService: checks requests, changes jobs through their store, and returns messages."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from services.chassis.blobs.contract import BlobError, BlobStore
from services.chassis.faults import BadRequest, ErrorInfo, Unavailable, Violation
from services.chassis.paging import from_cursor, page_size
from services.chassis.rpc.requests import canonical_id, chosen_id, is_repeat, known_values, missing_is_deleted
from services.chassis.telemetry import request_context, tracing
from services.chassis.timestamps import from_timestamp, optional_time
from services.exporter.catalogue.tenants import check_tenant
from services.exporter.errors import (
    JobNotFound,
    ProfileNotFound,
    RequestReused,
    TooManyBytes,
    TooManyJobs,
    UnknownFormat,
    WrongState,
)
from services.exporter.export.baselines import baseline_problem
from services.exporter.export.lost_rows import LostRowFinder
from services.exporter.export.preflight import Preflights
from services.exporter.formats.contract import Format
from services.exporter.jobs.admission import Admission
from services.exporter.jobs.artifacts import manifest_keys
from services.exporter.jobs.changes import JobChanges
from services.exporter.jobs.dispatch import Dispatcher
from services.exporter.jobs.job import ENDED, Job, JobState, NewJob, id_for_key
from services.exporter.jobs.store import JobStore
from services.exporter.manifests.options import change_options, options_id
from services.exporter.messages import (
    FROM_STATES,
    options_of,
    refuse_selection,
    to_file_message,
    to_message,
    to_preview_message,
    to_report_message,
    to_template_message,
)
from services.exporter.profiles.profile import merged, naming_options, run_hash
from services.exporter.profiles.registry import ProfileRegistry
from services.exporter.requests.field_list import FieldLists
from services.exporter.requests.fields import FieldChecks
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest, check_request, parse_options
from services.exporter.templates import templates
from services.limits import Limits
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

log = structlog.get_logger()

WATCH_SECONDS = 0.25
MAX_WAIT_SECONDS = 60.0
"""The longest that a call waits for a job."""
CHANGES_PAUSE = 0.05
"""Between two messages of changes, which are then reported together."""
REPORT_TRIES, REPORT_PAUSE = 20, 0.1
"""How often, and at which interval in seconds, the deletion of a job is tried whose end is still to be reported."""
MAX_ENDED_JOBS = 500
DEFAULT_ENDED_JOBS = 200
DEFAULT_LOST_KEYS, MAX_LOST_KEYS = 20, 100
MAX_BATCH = 50
"""Jobs in a request about several: their options may have 256 KiB each."""


class ExporterService(exporter_pb2_grpc.ExporterServiceServicer):
    """Implements `catalog.exports.v1.ExporterService`."""

    def __init__(
        self,
        store: JobStore,
        fields: FieldChecks,
        field_lists: FieldLists,
        dispatcher: Dispatcher,
        changes: JobChanges,
        formats: Mapping[str, Format],
        blobs: BlobStore,
        limits: Limits,
        preflights: Preflights,
        profiles: ProfileRegistry,
        *,
        max_attempts: int,
    ) -> None:
        self._store = store
        self._fields = fields
        self._field_lists = field_lists
        self._dispatcher = dispatcher
        self._changes = changes
        self._formats = formats
        self._blobs = blobs
        self._limits = limits
        self._preflights = preflights
        self._profiles = profiles
        self._lost_rows = LostRowFinder(blobs)
        self._admission = Admission(store, limits)
        self._max_attempts = max_attempts
        self._waking: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End the watches, because this process is about to stop; clients watch again at another replica."""
        self._leaving.set()

    async def settled(self) -> None:
        """Wait until all wake-ups are published or removed."""
        if self._waking:
            await asyncio.wait(self._waking)

    async def CreateJob(self, request: pb.CreateJobRequest, context: Any) -> pb.CreateJobResponse:
        """Accept a job: check it against the catalogue, store it with its outbox, and wake a worker."""
        check_tenant(request.tenant)
        job_id, options_json = _chosen_id(request), options_of(request)
        checked = None if request.profile_id else check_request(self._formats, request.format, options_json)
        request_hash = _run_hash(request, options_json) if checked is None else checked.hash
        refuse_selection(request.options_json or "{}")
        # With a key of its own for each request, hardly any request is a repeated one.
        known = await self._store.get(request.tenant, job_id) if request.idempotency_key else None
        is_replay = known is not None
        if known is None and checked is not None:
            new = self._new_job(job_id, request, request.format, options_json, request_hash)
            known = await self._accept(new, checked)
        elif known is None:
            known = await self._accept_run(job_id, request, options_json, request_hash)
        if (known.tenant, known.request_hash) != (request.tenant, request_hash):
            raise RequestReused
        known = await self._admission.settled(known)
        self._in_background(self._dispatcher.wake(known))
        return pb.CreateJobResponse(job=to_message(known), is_replay=is_replay)

    async def CheckJob(self, request: pb.CheckJobRequest, context: Any) -> pb.CheckJobResponse:
        """Refuse what could never be accepted."""
        check_tenant(request.tenant)
        check_request(self._formats, request.format, request.options_json)
        refuse_selection(request.options_json or "{}")
        return pb.CheckJobResponse()

    async def PreviewJob(self, request: pb.PreviewJobRequest, context: Any) -> pb.PreviewJobResponse:
        """What a job with this request would make."""
        check_tenant(request.tenant)
        options_json = request.options_json or "{}"
        parse_options(options_json)
        refuse_selection(options_json)
        if request.profile_id:
            profile = await self._profiles.get(request.tenant, request.profile_id)
            with naming_options():
                checked = check_request(self._formats, profile.format, merged(profile.options_json, options_json))
        else:
            checked = check_request(self._formats, request.format, options_json)
        found = await self._preflights.run(request.tenant, checked)
        if (problem := await self._baseline_problem(request.tenant, checked)) is not None:
            found = replace(found, problems=(*found.problems, Violation("changes_since", problem.message)))
        return to_preview_message(found)

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """One job."""
        return pb.GetJobResponse(job=to_message(await self._found(request.tenant, request.job_id)))

    async def GetJobFile(self, request: pb.GetJobFileRequest, context: Any) -> pb.GetJobFileResponse:
        """One job with the location of its file."""
        return pb.GetJobFileResponse(file=to_file_message(await self._found(request.tenant, request.job_id)))

    async def ListLostRows(self, request: pb.ListLostRowsRequest, context: Any) -> pb.ListLostRowsResponse:
        """The keys of rows that one job has and another has not."""
        limit = page_size(request.max_keys, default=DEFAULT_LOST_KEYS, maximum=MAX_LOST_KEYS)
        base = await self._found(request.tenant, request.base_job_id)
        lost = await self._lost_rows.find(base, await self._found(request.tenant, request.job_id), limit)
        return pb.ListLostRowsResponse(lost_rows=lost.count, keys=lost.keys)

    async def BatchGetJobFiles(self, request: pb.BatchGetJobFilesRequest, context: Any) -> pb.BatchGetJobFilesResponse:
        """Several jobs with the location of their files, without their options."""
        _check_batch("requests", len(request.requests))
        wanted = {canonical_id(one.job_id): one.tenant for one in request.requests}
        jobs = await self._store.whole(list(wanted))
        files = [to_file_message(job) for job in jobs if job.tenant == wanted[job.id]]
        for file in files:
            file.job.ClearField("options_json")
        return pb.BatchGetJobFilesResponse(files=files)

    async def NoteDeliveries(self, request: pb.NoteDeliveriesRequest, context: Any) -> pb.NoteDeliveriesResponse:
        """Note which jobs have deliveries."""
        _check_batch("notes", len(request.notes))
        for has_deliveries in (True, False):
            jobs = [
                (canonical_id(note.job_id), from_timestamp(note.created_at, "created_at"))
                for note in request.notes
                if note.has_deliveries == has_deliveries
            ]
            await self._store.note_deliveries(jobs, has_deliveries=has_deliveries)
        return pb.NoteDeliveriesResponse()

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """A page of a tenant's jobs, newest first."""
        check_tenant(request.tenant)
        if request.format and request.format not in self._formats:
            text = f"there is no such format; there are {', '.join(sorted(self._formats))}"
            raise BadRequest([Violation("format", text)])
        size = page_size(request.page_size)
        found = await self._store.page(
            request.tenant,
            states=known_values(request.states, FROM_STATES, "states", "a state of a job"),
            form=request.format,
            schedule_id=request.schedule_id,
            after=from_cursor(request.page_token),
            limit=size,
            created=(
                optional_time(request.created_after, "created_after"),
                optional_time(request.created_before, "created_before"),
            ),
            newest_first=not request.oldest_first,
            profile_id=request.profile_id,
        )
        following = found.next_cursor(lambda job: (job.created_at, job.id))
        return pb.ListJobsResponse(jobs=map(to_message, found), next_page_token=following)

    async def GetJobReport(self, request: pb.GetJobReportRequest, context: Any) -> pb.GetJobReportResponse:
        """What the columns of the request did to single rows."""
        job = await self._found(request.tenant, request.job_id)
        if job.state not in (JobState.COMPLETED, JobState.EXPIRED):
            raise WrongState("job_not_completed", f"The job is {job.state.value}; only a completed job has a report.")
        return to_report_message(await self._store.report(job))

    async def ListEndedJobs(self, request: pb.ListEndedJobsRequest, context: Any) -> pb.ListEndedJobsResponse:
        """A page of all tenants' ended jobs, in the order of their ends."""
        size = page_size(request.page_size, default=DEFAULT_ENDED_JOBS, maximum=MAX_ENDED_JOBS)
        since = from_timestamp(request.since, "since")
        found = await self._store.ended_since(since, from_cursor(request.page_token), size)
        following = found.next_cursor(lambda job: (job.finished_at or since, job.id))
        return pb.ListEndedJobsResponse(files=map(to_file_message, found), next_page_token=following)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """End a live job."""
        job = await self._store.cancel(request.tenant, request.job_id)
        if job is None:
            job = await self._found(request.tenant, request.job_id)
            if not is_repeat(context) or job.state is not JobState.CANCELLED:
                message = f"The job is already {job.state.value}; only a waiting or running job can be cancelled."
                raise WrongState("job_ended", message)
        log.info("job_cancelled", action="cancel", job_id=job.id, tenant=job.tenant)
        self._dispatcher.ended.set()
        self._in_background(self._dispatcher.forget(job.id))
        self._in_background(self._changes.announce(job.id))
        return pb.CancelJobResponse(job=to_message(job))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Restart a failed or cancelled job."""
        await self._admission.check(request.tenant)
        job = await self._admission.retry(request.tenant, request.job_id)
        if job is None:
            job = await self._found(request.tenant, request.job_id)
            if not is_repeat(context) or job.state in ENDED:
                message = f"The job is {job.state.value}; only a failed or cancelled job can be restarted."
                raise WrongState("job_not_retriable", message)
        log.info("job_retried", action="retry", job_id=job.id, tenant=job.tenant)
        self._in_background(self._dispatcher.wake(job))
        return pb.RetryJobResponse(job=to_message(job))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Any) -> pb.DeleteJobResponse:
        """Delete an ended job and its file."""
        with missing_is_deleted(context):
            await self._delete(request.tenant, request.job_id)
        return pb.DeleteJobResponse()

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.WatchJobResponse]:
        """The job now and after every change of the message, until it has ended or this process stops."""
        sent = None
        while not self._leaving.is_set():
            job = await self._found(request.tenant, request.job_id)
            message = to_message(job)
            if message != sent:
                sent = message
                yield pb.WatchJobResponse(job=message)
            if job.state in ENDED:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), WATCH_SECONDS)
        raise Unavailable("exporter_leaving", "This replica of the exporter is stopping; watch again.", retry_after=0.5)

    async def WaitJob(self, request: pb.WaitJobRequest, context: Any) -> pb.WaitJobResponse:
        """The job once it has ended, or as it is when the time is over or this process stops."""
        seconds = request.timeout.ToMilliseconds() / 1_000 if request.HasField("timeout") else MAX_WAIT_SECONDS
        if seconds < 0:
            raise BadRequest([Violation("timeout", "must not be negative")])
        until = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)
        while True:
            job = await self._found(request.tenant, request.job_id)
            left = until - time.monotonic()
            if job.state in ENDED or left <= 0 or self._leaving.is_set():
                return pb.WaitJobResponse(job=to_message(job))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), min(WATCH_SECONDS, left))

    async def WatchChanges(
        self, request: pb.WatchChangesRequest, context: Any
    ) -> AsyncIterator[pb.WatchChangesResponse]:
        """Which jobs may have changed, until this process stops."""
        with self._changes.watch() as watch:
            yield pb.WatchChangesResponse()
            while not self._leaving.is_set():
                changed, is_incomplete = await watch.take(WATCH_SECONDS)
                if changed:
                    yield pb.WatchChangesResponse(job_ids=changed, is_incomplete=is_incomplete)
                    await asyncio.sleep(CHANGES_PAUSE)
        raise Unavailable("exporter_leaving", "This replica of the exporter is stopping; watch again.", retry_after=0.5)

    async def ListFormats(self, request: pb.ListFormatsRequest, context: Any) -> pb.ListFormatsResponse:
        """The formats and the JSON Schemas of their options."""
        return pb.ListFormatsResponse(formats=[_description(form) for form in self._formats.values()])

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Any) -> pb.ListTemplatesResponse:
        """The feed templates, with what their receivers accept."""
        return pb.ListTemplatesResponse(templates=map(to_template_message, templates().values()))

    async def ListFields(self, request: pb.ListFieldsRequest, context: Any) -> pb.ListFieldsResponse:
        """The fields of a catalogue."""
        check_tenant(request.tenant)
        found = await self._field_lists.of(request.tenant, request.collection or FILTERED_SHEET)
        fields = [
            pb.CatalogueField(
                name=one.name,
                types=sorted(one.types),
                filled_documents=one.filled,
                example=one.example,
                keyed_by=one.keyed_by,
            )
            for one in found.fields
        ]
        return pb.ListFieldsResponse(fields=fields, sampled_documents=found.sampled, total_documents=found.documents)

    async def GetJobUsage(self, request: pb.GetJobUsageRequest, context: Any) -> pb.GetJobUsageResponse:
        """The tenant's limits and how much of them is used."""
        limits = self._limits.of(request.tenant)
        return pb.GetJobUsageResponse(
            live_jobs=await self._store.live_count(request.tenant),
            max_live_jobs=limits.max_live_jobs,
            artifact_bytes=await self._store.artifact_bytes(request.tenant),
            max_artifact_bytes=limits.max_artifact_bytes,
        )

    async def _found(self, tenant: str, job_id: str) -> Job:
        job = await self._store.get_current(tenant, job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def _delete(self, tenant: str, job_id: str) -> None:
        job = await self._store.delete(tenant, job_id)
        tries = 0
        while job is None:
            found = await self._found(tenant, job_id)
            if found.state not in ENDED:
                raise WrongState("job_not_ended", f"The job is {found.state.value}; cancel it before you delete it.")
            if tries == REPORT_TRIES:
                raise Unavailable("end_not_reported", "The end of the job is not reported yet; try again shortly.")
            tries += 1
            self._dispatcher.ended.set()
            await asyncio.sleep(REPORT_PAUSE)
            job = await self._store.delete(tenant, job_id)
        if job.artifact is not None:
            try:
                await self._blobs.delete(job.artifact.key)
                for key in manifest_keys(job.manifest):
                    await self._blobs.delete(key)
            except BlobError as exc:  # the sweep removes it later
                log.warning("file_left", action="delete", job_id=job.id, reason=str(exc))

    async def _accept(self, new: NewJob, checked: CheckedRequest) -> Job:
        """Store a new job, or return the job that has this id already, even if the request would be refused now."""
        try:
            await self._admission.check(new.tenant)
            if (problem := await self._baseline_problem(new.tenant, checked)) is not None:
                raise WrongState(problem.code, problem.message)
            await self._fields.check(new.tenant, checked)
            job = await self._admission.accept(new)
        except (BadRequest, TooManyBytes, TooManyJobs, WrongState):
            known = await self._store.get(new.tenant, new.id)
            if known is None:
                raise
            return known
        log.info("job_accepted", action="accept", job_id=new.id, tenant=new.tenant, format=new.format)
        return job

    async def _baseline_problem(self, tenant: str, checked: CheckedRequest) -> ErrorInfo | None:
        """Why a request for changes since another job is refused; None: it is not, or allows a full export."""
        options = change_options(checked.options)
        if options is None or options.changes_since is None or options.on_missing_baseline != "fail":
            return None
        base_id = str(options.changes_since)
        base = await self._store.get(tenant, base_id)
        return baseline_problem(base, base_id, options_id(checked.format.name, options))

    async def _accept_run(self, job_id: str, request: pb.CreateJobRequest, overrides: str, request_hash: str) -> Job:
        """Store a job for the newest version of a profile, or return the job that has this id already.

        Raises:
            ProfileNotFound: the tenant has no profile with this id.
            BadRequest: the options are invalid together with the overrides; names `options_json.<option>`.
        """
        try:
            profile = await self._profiles.get(request.tenant, request.profile_id)
            options_json = merged(profile.options_json, overrides)
            with naming_options():
                checked = check_request(self._formats, profile.format, options_json)
        except (BadRequest, ProfileNotFound, UnknownFormat):  # it may have been changed or deleted since
            known = await self._store.get(request.tenant, job_id)
            if known is None:
                raise
            return known
        new = self._new_job(job_id, request, profile.format, options_json, request_hash)
        with naming_options():
            return await self._accept(replace(new, profile_id=profile.id, profile_version=profile.version), checked)

    def _new_job(
        self, job_id: str, request: pb.CreateJobRequest, form: str, options_json: str, request_hash: str
    ) -> NewJob:
        return NewJob(
            id=job_id,
            tenant=request.tenant,
            format=form,
            options_json=options_json,
            request_hash=request_hash,
            max_attempts=self._max_attempts,
            schedule_id=request.schedule_id,
            schedule_name=request.schedule_name,
            request_id=request_context.current(),
            traceparent=tracing.traceparent(),
        )

    def _in_background(self, change: Coroutine[Any, Any, None]) -> None:
        """Change the job's wake-up without delaying the answer: the job is already in the outbox."""
        task = asyncio.create_task(change)
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)


def _chosen_id(request: pb.CreateJobRequest) -> str:
    if request.idempotency_key:
        if request.job_id:
            raise BadRequest([Violation("job_id", "must be empty where there is an idempotency_key")])
        return id_for_key(request.tenant, request.idempotency_key)
    return chosen_id(request.job_id, "job_id")


def _run_hash(request: pb.CreateJobRequest, overrides: str) -> str:
    """The hash of a request for a job of a profile.

    Raises:
        BadRequest: it has a format, too, or the overrides are not a JSON object.
    """
    if request.format:
        raise BadRequest([Violation("format", "must be empty where there is a profile_id")])
    return run_hash(request.profile_id, parse_options(overrides))


def _check_batch(field: str, size: int) -> None:
    if size > MAX_BATCH:
        raise BadRequest([Violation(field, f"must be at most {MAX_BATCH}")])


def _description(form: Format) -> pb.FormatDescription:
    defaults = form.Options()
    return pb.FormatDescription(
        name=form.name,
        media_type=form.media_type(defaults),
        media_types=form.media_types,
        extension=form.extension(defaults),
        options_schema_json=json.dumps(form.Options.model_json_schema(mode="validation")),
    )
