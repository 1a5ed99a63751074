"""Makes the file of a claimed job: plans the attempt, runs it in a thread, and stores the columns it found."""

import threading
from collections.abc import Mapping
from contextlib import suppress

import structlog
from pymongo import MongoClient

from services.chassis.blobs.contract import BlobError, BlobStore, BlobWriter
from services.chassis.faults import BadRequest, Unavailable
from services.chassis.loops import in_thread
from services.chassis.mongo import Document
from services.exporter.catalogue.column_store import ColumnStore, RememberedColumns, request_key
from services.exporter.catalogue.snapshot import max_documents
from services.exporter.errors import JobFault
from services.exporter.export.attempt import Attempt, Progress, Written
from services.exporter.export.large_exports import LargeExports
from services.exporter.export.plan import Plan
from services.exporter.formats.contract import ExportOptions, Format
from services.exporter.jobs.artifacts import artifact_key
from services.exporter.jobs.job import Artifact, FinishedFile, Job
from services.exporter.requests.filters import to_query
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest, check_request
from services.file_names import file_name

log = structlog.get_logger()


class FileMaker:
    """Makes files, each in its own thread.

    Args:
        escape_formulas: the deployment's default for the option.
        keep_seconds: how long finished files are kept.
    """

    def __init__(
        self,
        formats: Mapping[str, Format],
        client: MongoClient[Document],
        blobs: BlobStore,
        columns: ColumnStore,
        *,
        max_columns: int,
        escape_formulas: bool,
        keep_seconds: float,
    ) -> None:
        self._formats = formats
        self._client = client
        self._blobs = blobs
        self._columns = columns
        self._max_columns = max_columns
        self._escape_formulas = escape_formulas
        self._keep_seconds = keep_seconds
        self._large = LargeExports()

    async def make(self, job: Job, progress: Progress, stop: threading.Event) -> FinishedFile:
        """Make the job's file, under a key that contains the job's fence.

        Raises:
            JobFault: with the code and message for the job.
            Stopped: `stop` was set.
        """
        request = self._request(job)
        plan = await self._plan(job, request)
        key = artifact_key(job, request.format.extension(request.options))
        media_type = request.format.media_type(request.options)

        def open_writer() -> BlobWriter:
            return self._blobs.writer(key, media_type=media_type)

        attempt = Attempt(plan, self._client, open_writer, progress, stop)

        def run() -> Written:
            documents = max_documents(self._client, job.tenant, request.format.sheets(plan.options))
            with self._large.admit(documents, stop):
                return attempt.run()

        written = await in_thread(run, name=f"export-{job.id}")
        await self._remember(plan, written)
        name = file_name(
            request.options.file_name,
            extension=request.format.extension(request.options),
            form=job.format,
            job_id=job.id,
            schedule=job.schedule_name,
            created_at=job.created_at,
        )
        artifact = Artifact(key, name, media_type, written.size, written.sha256)
        return FinishedFile(artifact, written.records, written.warnings, self._keep_seconds)

    async def discard(self, file: FinishedFile) -> None:
        """Remove the file of an attempt that was fenced off; if that fails, the sweep removes it later."""
        with suppress(BlobError):
            await self._blobs.delete(file.artifact.key)

    def _request(self, job: Job) -> CheckedRequest:
        try:
            return check_request(self._formats, job.format, job.options_json)
        except BadRequest as exc:  # accepted by an older version of this service
            raise JobFault("invalid_request", exc.message, transient=False) from exc

    async def _plan(self, job: Job, request: CheckedRequest) -> Plan:
        options = request.options
        if "escape_formulas" in type(options).model_fields and getattr(options, "escape_formulas", None) is None:
            options = options.model_copy(update={"escape_formulas": self._escape_formulas})
        remembered: dict[str, RememberedColumns] = {}
        for sheet in request.format.sheets(options):
            remembered[sheet] = await self._columns.recall(job.tenant, sheet, _columns_key(options, sheet))
        query = to_query(request.filter)
        return Plan(job.tenant, request.format, options, query, remembered, self._max_columns, request.sort)

    async def _remember(self, plan: Plan, written: Written) -> None:
        if not plan.format.flat:
            return
        for sheet, columns in written.columns.items():
            widths = written.widths.get(sheet, {})
            if columns != plan.remembered[sheet].last or widths not in ({}, plan.remembered[sheet].widths):
                order = written.seen[sheet] if plan.selection(sheet).include is None else ()
                key = _columns_key(plan.options, sheet)
                try:
                    await self._columns.remember(plan.tenant, sheet, key, columns, widths, order=order)
                except Unavailable as exc:  # remembered columns are only a hint: do not fail a finished file over them
                    log.warning("columns_not_remembered", action="remember", sheet=sheet, reason=exc.message)


def _columns_key(options: ExportOptions, sheet: str) -> str:
    if sheet != FILTERED_SHEET:
        return request_key({}, None, ())
    return request_key(options.filters, options.include_fields, options.exclude_fields or ())
