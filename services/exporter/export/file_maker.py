"""Makes the file of a claimed job: plans the attempt, runs it in a thread, and stores the columns it found."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
from pymongo import MongoClient

from services.chassis.blobs.contract import BlobError, BlobStore, BlobWriter
from services.chassis.faults import BadRequest, Unavailable
from services.chassis.loops import in_thread
from services.chassis.mongo import Document
from services.chassis.recent import Recent
from services.exporter.catalogue.column_store import ColumnStore, RememberedColumns, request_key
from services.exporter.catalogue.snapshot import sizes
from services.exporter.errors import JobFault
from services.exporter.export.attempt import SMALL_DOCUMENTS, Attempt, Progress, Written
from services.exporter.export.large_exports import LargeExports
from services.exporter.export.plan import Plan
from services.exporter.export.tracking import Tracking
from services.exporter.export.trackings import FindJob, Trackings
from services.exporter.formats.contract import ExportOptions, Format
from services.exporter.jobs.artifacts import artifact_key, manifest_keys
from services.exporter.jobs.job import Artifact, FinishedFile, Job
from services.exporter.requests.filters import to_query
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest, check_request
from services.file_names import file_name

log = structlog.get_logger()

SIZE_SECONDS = 2.0

WHOLE = request_key({}, None, ())
"""The key of requests for all documents with all fields."""


class FileMaker:
    """Makes files, each in its own thread.

    Args:
        escape_formulas: the deployment's default for the option.
        keep_seconds: how long finished files are kept.
        keep_manifest_seconds: how long their manifests are kept.
        find_job: a tenant's job; the changes since it are looked for.
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
        keep_manifest_seconds: float = 0.0,
        find_job: FindJob,
    ) -> None:
        self._formats = formats
        self._client = client
        self._blobs = blobs
        self._columns = columns
        self._max_columns = max_columns
        self._escape_formulas = escape_formulas
        self._keep_seconds = keep_seconds
        self._trackings = Trackings(blobs, find_job, keep_seconds=keep_manifest_seconds)
        self._large = LargeExports()
        self._small = Recent[Mapping[str, int]](SIZE_SECONDS)

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

        def run(tracking: Tracking | None) -> Written:
            documents = self._sizes(job.tenant, request.format.sheets(plan.options))
            size = sum(documents.values())
            progress.on_size(size)
            with self._large.admit(size, stop):
                return Attempt(plan, self._client, documents, open_writer, progress, stop, tracking).run()

        async with self._trackings.open(job, request.options, escape_formulas=self._escape_formulas) as tracking:
            written = await in_thread(partial(run, tracking), name=f"export-{job.id}")
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
        return FinishedFile(
            artifact,
            written.records,
            written.warnings,
            self._keep_seconds,
            written.findings,
            written.manifest,
            written.changes,
        )

    def _sizes(self, tenant: str, sheets: Sequence[str]) -> Mapping[str, int]:
        """The sizes of collections; those of small ones are not asked for again within a few seconds."""
        key = f"{tenant}/{' '.join(sheets)}"
        found = self._small.get(key)
        if found is None:
            found = sizes(self._client, tenant, sheets)
            if sum(found.values()) <= SMALL_DOCUMENTS:
                self._small.put(key, found)
        return found

    async def discard(self, file: FinishedFile) -> None:
        """Remove the file of an attempt that was fenced off; if that fails, the sweep removes it later."""
        with suppress(BlobError):
            await self._blobs.delete(file.artifact.key)
            for key in manifest_keys(file.manifest):
                await self._blobs.delete(key)

    def _request(self, job: Job) -> CheckedRequest:
        try:
            return check_request(self._formats, job.format, job.options_json)
        except BadRequest as exc:  # accepted by an older version of this service
            raise JobFault("invalid_request", exc.message, transient=False) from exc

    async def _plan(self, job: Job, request: CheckedRequest) -> Plan:
        options = request.options.with_default_escaping(self._escape_formulas)
        remembered: dict[str, RememberedColumns] = {}
        for sheet in request.format.sheets(options):
            remembered[sheet] = await self._recall(job.tenant, sheet, options)
        query = to_query(request.filter)
        return Plan(job.tenant, request.format, options, query, remembered, self._max_columns, request.sort)

    async def _recall(self, tenant: str, sheet: str, options: ExportOptions) -> RememberedColumns:
        """The columns of the same request; before its first export, without filters, also those of the whole sheet."""
        key = _columns_key(options, sheet)
        found = await self._columns.recall(tenant, sheet, key)
        if found.last is not None or options.filters or key == WHOLE or _other_names(options):
            return found
        return replace(found, whole=(await self._columns.recall(tenant, sheet, WHOLE)).last or ())

    async def _remember(self, plan: Plan, written: Written) -> None:
        if not plan.format.flat:
            return
        for sheet, columns in written.columns.items():
            selection, known = plan.selection(sheet), plan.remembered[sheet]
            widths, types = written.widths.get(sheet, {}), written.types.get(sheet, {})
            if selection.output is not None and not widths and not types:  # there is nothing to find out
                continue
            if columns != known.last or widths not in ({}, known.widths) or types not in ({}, known.types):
                is_whole = selection.include is None and not _other_names(plan.options)
                order = written.seen[sheet] if is_whole else ()
                key = _columns_key(plan.options, sheet)
                try:
                    await self._columns.remember(plan.tenant, sheet, key, columns, widths, types, order=order)
                except Unavailable as exc:  # remembered columns are only a hint: do not fail a finished file over them
                    log.warning("columns_not_remembered", action="remember", sheet=sheet, reason=exc.message)


def _columns_key(options: ExportOptions, sheet: str) -> str:
    if sheet != FILTERED_SHEET:
        return WHOLE
    columns = [column.model_dump(by_alias=True) for column in options.columns or ()]
    others = [*_other_names(options), *([options.limit] if options.limit else [])]
    return request_key(options.filters, columns or options.include_fields, options.exclude_fields or (), *others)


def _other_names(options: ExportOptions) -> list[object]:
    """The options with which documents have other fields than in the catalogue; empty: none."""
    codes = (options.locales, options.locale_fallback, options.currencies)
    return [*(codes if any(codes) else ()), *([options.explode] if options.explode else [])]
