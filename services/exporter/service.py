"""The gRPC face of the exporter: checks what is asked, changes jobs through their store, answers with messages."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any

import structlog
from google.protobuf.empty_pb2 import Empty
from pymongo import MongoClient

from services.chassis.blobs.contract import BlobError, BlobStore
from services.chassis.faults import BadRequest, Unavailable, Violation
from services.chassis.mongo import Document
from services.chassis.paging import to_cursor
from services.chassis.telemetry import request_context, tracing
from services.exporter.catalogue.column_store import ColumnStore, request_key
from services.exporter.catalogue.tenants import check_tenant
from services.exporter.errors import JobNotFound, RequestReused, TooManyJobs, WrongState
from services.exporter.formats.contract import Format
from services.exporter.jobs.dispatch import Dispatcher
from services.exporter.jobs.job import ENDED, Job, NewJob, id_for_key
from services.exporter.jobs.store import JobStore
from services.exporter.messages import from_cursor, from_since, from_states, to_message
from services.exporter.requests.fields import check_fields
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest, check_request
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

log = structlog.get_logger()

WATCH_SECONDS = 0.25
MOST_A_PAGE = 200
A_PAGE = 50
MOST_COMPLETIONS_A_PAGE = 500
COMPLETIONS_A_PAGE = 200
MOST_BYTES = 3 * 1024 * 1024


class ExporterService(exporter_pb2_grpc.ExporterServicer):
    """Implements `catalog.exports.v1.Exporter`."""

    def __init__(
        self,
        store: JobStore,
        columns: ColumnStore,
        dispatcher: Dispatcher,
        formats: Mapping[str, Format],
        catalogues: MongoClient[Document],
        blobs: BlobStore,
        *,
        max_live_jobs: int,
        max_attempts: int,
    ) -> None:
        self._store = store
        self._columns = columns
        self._dispatcher = dispatcher
        self._formats = formats
        self._catalogues = catalogues
        self._blobs = blobs
        self._max_live_jobs = max_live_jobs
        self._max_attempts = max_attempts
        self._waking: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End the watches: this process is about to stop, and another replica can go on with them."""
        self._leaving.set()

    async def settled(self) -> None:
        """Wait until no wake-up is on its way any more."""
        if self._waking:
            await asyncio.wait(self._waking)

    async def CreateJob(self, request: pb.CreateJobRequest, context: Any) -> pb.Job:
        """Accept a job: checked against the catalogue, stored with its outbox, then woken."""
        check_tenant(request.tenant)
        checked = check_request(self._formats, request.format, request.options_json)
        job_id = _chosen_id(request)
        known = await self._store.get(request.tenant, job_id)
        if known is None:
            await self._check_limit(request.tenant)
            await self._check_fields(request.tenant, checked)
            known = await self._store.accept(self._new_job(job_id, request, checked))
            log.info("job_accepted", action="accept", job_id=job_id, tenant=request.tenant, format=request.format)
        if (known.tenant, known.request_hash) != (request.tenant, checked.hash):
            raise RequestReused
        self._wake(job_id)
        return to_message(known)

    async def CheckJob(self, request: pb.CheckJobRequest, context: Any) -> Empty:
        """Refuse what could never be accepted."""
        check_tenant(request.tenant)
        check_request(self._formats, request.format, request.options_json)
        return Empty()

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.Job:
        """One job."""
        return to_message(await self._found(request.tenant, request.job_id))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """A page of a tenant's jobs, newest first."""
        check_tenant(request.tenant)
        if request.format and request.format not in self._formats:
            text = f"there is no such format; there are {', '.join(sorted(self._formats))}"
            raise BadRequest([Violation("format", text)])
        limit = _limit(request.limit, A_PAGE, MOST_A_PAGE)
        jobs = await self._store.page(
            request.tenant,
            states=from_states(request.states),
            form=request.format,
            schedule_id=request.schedule_id,
            before=from_cursor(request.cursor),
            limit=limit + 1,
        )
        page = _within([to_message(job) for job in jobs[:limit]])
        last = jobs[len(page) - 1] if len(jobs) > len(page) else None
        return pb.ListJobsResponse(jobs=page, next_cursor=to_cursor(last.created_at, last.id) if last else "")

    async def ListCompletions(self, request: pb.ListCompletionsRequest, context: Any) -> pb.ListCompletionsResponse:
        """A page of all tenants' completed jobs that still have their file, in the order of their completion."""
        limit = _limit(request.limit, COMPLETIONS_A_PAGE, MOST_COMPLETIONS_A_PAGE)
        jobs = await self._store.completions(from_since(request), from_cursor(request.cursor), limit + 1)
        page = _within([to_message(job) for job in jobs[:limit]])
        last = jobs[len(page) - 1] if len(jobs) > len(page) else None
        following = to_cursor(last.finished_at, last.id) if last and last.finished_at else ""
        return pb.ListCompletionsResponse(jobs=page, next_cursor=following)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        """End a live job."""
        job = await self._store.cancel(request.tenant, request.job_id)
        if job is None:
            state = (await self._found(request.tenant, request.job_id)).state
            message = f"The job is {state.value} already; only a job that waits or runs can be cancelled."
            raise WrongState(request.job_id, state, code="job_ended", message=message)
        log.info("job_cancelled", action="cancel", job_id=job.id, tenant=job.tenant)
        return to_message(job)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.Job:
        """Start a failed or cancelled job again."""
        await self._check_limit(request.tenant)
        job = await self._store.retry(request.tenant, request.job_id)
        if job is None:
            state = (await self._found(request.tenant, request.job_id)).state
            message = f"The job is {state.value}; only a failed or cancelled job can be started again."
            raise WrongState(request.job_id, state, code="job_not_retriable", message=message)
        log.info("job_retried", action="retry", job_id=job.id, tenant=job.tenant)
        self._wake(job.id)
        return to_message(job)

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Any) -> Empty:
        """Forget an ended job and remove its file."""
        job = await self._store.delete(request.tenant, request.job_id)
        if job is None:
            state = (await self._found(request.tenant, request.job_id)).state
            message = f"The job is {state.value}; cancel it before you delete it."
            raise WrongState(request.job_id, state, code="job_not_ended", message=message)
        if job.artifact is not None:
            try:
                await self._blobs.delete(job.artifact.key)
            except BlobError as exc:  # the sweep removes it later
                log.warning("file_left", action="delete", job_id=job.id, reason=str(exc))
        return Empty()

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.Job]:
        """The job now and at every change that shows, until it has ended or this process leaves."""
        shown = None
        while not self._leaving.is_set():
            job = await self._found(request.tenant, request.job_id)
            message = to_message(job)
            if message != shown:
                shown = message
                yield message
            if job.state in ENDED:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), WATCH_SECONDS)
        raise Unavailable("exporter_leaving", "This replica of the exporter stops; watch again.", retry_after=0.5)

    async def ListFormats(self, request: pb.ListFormatsRequest, context: Any) -> pb.ListFormatsResponse:
        """The formats and the JSON Schemas of their options."""
        return pb.ListFormatsResponse(formats=[_description(form) for form in self._formats.values()])

    async def _found(self, tenant: str, job_id: str) -> Job:
        job = await self._store.get(tenant, job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def _check_limit(self, tenant: str) -> None:
        if await self._store.live_count(tenant, self._max_live_jobs) >= self._max_live_jobs:
            raise TooManyJobs(self._max_live_jobs)

    async def _check_fields(self, tenant: str, checked: CheckedRequest) -> None:
        memory = await self._columns.recall(tenant, FILTERED_SHEET, request_key({}, None, ()))
        await asyncio.to_thread(check_fields, self._catalogues, tenant, checked, memory.order)

    def _new_job(self, job_id: str, request: pb.CreateJobRequest, checked: CheckedRequest) -> NewJob:
        return NewJob(
            id=job_id,
            tenant=request.tenant,
            format=request.format,
            options_json=request.options_json or "{}",
            request_hash=checked.hash,
            max_attempts=self._max_attempts,
            schedule_id=request.schedule_id,
            schedule_name=request.schedule_name,
            request_id=request_context.current(),
            traceparent=tracing.traceparent(),
        )

    def _wake(self, job_id: str) -> None:
        """Publish without keeping the caller waiting: the outbox holds the job already."""
        task = asyncio.create_task(self._dispatcher.wake(job_id))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)


def _chosen_id(request: pb.CreateJobRequest) -> str:
    if request.idempotency_key:
        return id_for_key(request.tenant, request.idempotency_key)
    if not request.job_id:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(request.job_id))
    except ValueError as exc:
        raise BadRequest([Violation("job_id", "is not a UUID")]) from exc


def _limit(asked: int, default: int, most: int) -> int:
    if asked < 0:
        raise BadRequest([Violation("limit", f"must be 1 to {most}, or 0 for {default}")])
    return min(asked or default, most)


def _within(page: Sequence[pb.Job]) -> Sequence[pb.Job]:
    """As many of the jobs, at least one, as a client takes in one message; options may be long."""
    sizes = accumulate(job.ByteSize() for job in page)
    return page[: max(1, sum(size < MOST_BYTES for size in sizes))]


def _description(form: Format) -> pb.FormatDescription:
    defaults = form.Options()
    return pb.FormatDescription(
        name=form.name,
        media_type=form.media_type(defaults),
        extension=form.extension(defaults),
        options_schema_json=json.dumps(form.Options.model_json_schema(mode="validation")),
    )
