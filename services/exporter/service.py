"""Implements ExporterService: checks requests, changes jobs through their store, and returns messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import structlog
from pymongo import MongoClient

from services.chassis.blobs.contract import BlobError, BlobStore
from services.chassis.faults import BadRequest, Unavailable, Violation
from services.chassis.mongo import Document
from services.chassis.paging import from_cursor, page_size
from services.chassis.rpc.requests import chosen_id, is_repeat, known_values, missing_is_deleted
from services.chassis.telemetry import request_context, tracing
from services.chassis.timestamps import from_timestamp
from services.exporter.catalogue.column_store import ColumnStore, request_key
from services.exporter.catalogue.tenants import check_tenant
from services.exporter.errors import JobNotFound, RequestReused, WrongState
from services.exporter.formats.contract import Format
from services.exporter.jobs.admission import Admission
from services.exporter.jobs.changes import JobChanges
from services.exporter.jobs.dispatch import Dispatcher
from services.exporter.jobs.job import ENDED, Job, JobState, NewJob, id_for_key
from services.exporter.jobs.store import JobStore
from services.exporter.messages import (
    FROM_STATES,
    options_of,
    refuse_selection,
    to_file_message,
    to_message,
)
from services.exporter.requests.fields import check_fields
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest, check_request
from services.limits import Limits
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

log = structlog.get_logger()

WATCH_SECONDS = 0.25
CHANGES_PAUSE = 0.05
"""Between two messages of changes, which are then reported together."""
MAX_COMPLETIONS = 500
DEFAULT_COMPLETIONS = 200


class ExporterService(exporter_pb2_grpc.ExporterServiceServicer):
    """Implements `catalog.exports.v1.ExporterService`."""

    def __init__(
        self,
        store: JobStore,
        columns: ColumnStore,
        dispatcher: Dispatcher,
        changes: JobChanges,
        formats: Mapping[str, Format],
        catalogues: MongoClient[Document],
        blobs: BlobStore,
        limits: Limits,
        *,
        max_attempts: int,
    ) -> None:
        self._store = store
        self._columns = columns
        self._dispatcher = dispatcher
        self._changes = changes
        self._formats = formats
        self._catalogues = catalogues
        self._blobs = blobs
        self._limits = limits
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
        checked = check_request(self._formats, request.format, options_json)
        refuse_selection(request.options_json or "{}")
        known = await self._store.get(request.tenant, job_id)
        if known is None:
            await self._admission.check(request.tenant)
            await self._check_fields(request.tenant, checked)
            known = await self._admission.accept(self._new_job(job_id, request, options_json, checked))
            log.info("job_accepted", action="accept", job_id=job_id, tenant=request.tenant, format=request.format)
        if (known.tenant, known.request_hash) != (request.tenant, checked.hash):
            raise RequestReused
        known = await self._admission.settled(known)
        self._in_background(self._dispatcher.wake(known))
        return pb.CreateJobResponse(job=to_message(known))

    async def CheckJob(self, request: pb.CheckJobRequest, context: Any) -> pb.CheckJobResponse:
        """Refuse what could never be accepted."""
        check_tenant(request.tenant)
        check_request(self._formats, request.format, request.options_json)
        refuse_selection(request.options_json or "{}")
        return pb.CheckJobResponse()

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """One job."""
        return pb.GetJobResponse(job=to_message(await self._found(request.tenant, request.job_id)))

    async def GetJobFile(self, request: pb.GetJobFileRequest, context: Any) -> pb.GetJobFileResponse:
        """One job with the location of its file."""
        return pb.GetJobFileResponse(file=to_file_message(await self._found(request.tenant, request.job_id)))

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
            before=from_cursor(request.page_token),
            limit=size,
        )
        following = found.next_cursor(lambda job: (job.created_at, job.id))
        return pb.ListJobsResponse(jobs=map(to_message, found), next_page_token=following)

    async def ListCompletions(self, request: pb.ListCompletionsRequest, context: Any) -> pb.ListCompletionsResponse:
        """A page of all tenants' completed jobs that still have their file, in the order of their completion."""
        size = page_size(request.page_size, default=DEFAULT_COMPLETIONS, maximum=MAX_COMPLETIONS)
        since = from_timestamp(request.since, "since")
        found = await self._store.completions(since, from_cursor(request.page_token), size)
        following = found.next_cursor(lambda job: (job.finished_at or since, job.id))
        return pb.ListCompletionsResponse(files=map(to_file_message, found), next_page_token=following)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """End a live job."""
        job = await self._store.cancel(request.tenant, request.job_id)
        if job is None:
            job = await self._found(request.tenant, request.job_id)
            if not is_repeat(context) or job.state is not JobState.CANCELLED:
                message = f"The job is already {job.state.value}; only a waiting or running job can be cancelled."
                raise WrongState("job_ended", message)
        log.info("job_cancelled", action="cancel", job_id=job.id, tenant=job.tenant)
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
        if job is None:
            state = (await self._found(tenant, job_id)).state
            raise WrongState("job_not_ended", f"The job is {state.value}; cancel it before you delete it.")
        if job.artifact is not None:
            try:
                await self._blobs.delete(job.artifact.key)
            except BlobError as exc:  # the sweep removes it later
                log.warning("file_left", action="delete", job_id=job.id, reason=str(exc))

    async def _check_fields(self, tenant: str, checked: CheckedRequest) -> None:
        memory = await self._columns.recall(tenant, FILTERED_SHEET, request_key({}, None, ()))
        await asyncio.to_thread(check_fields, self._catalogues, tenant, checked, memory.order)

    def _new_job(self, job_id: str, request: pb.CreateJobRequest, options_json: str, checked: CheckedRequest) -> NewJob:
        return NewJob(
            id=job_id,
            tenant=request.tenant,
            format=request.format,
            options_json=options_json,
            request_hash=checked.hash,
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


def _description(form: Format) -> pb.FormatDescription:
    defaults = form.Options()
    return pb.FormatDescription(
        name=form.name,
        media_type=form.media_type(defaults),
        extension=form.extension(defaults),
        options_schema_json=json.dumps(form.Options.model_json_schema(mode="validation")),
    )
