"""Prepares the tracking of an export: copies the manifest that it is compared with to this machine."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore, BlobWriter
from services.chassis.faults import ErrorInfo
from services.exporter.errors import JobFault
from services.exporter.export.baselines import baseline_problem, made_in_full
from services.exporter.export.tracking import Tracking
from services.exporter.formats.contract import ExportOptions
from services.exporter.jobs.artifacts import manifest_key
from services.exporter.jobs.job import Job
from services.exporter.manifests.baseline import Baseline, BaselineDamaged
from services.exporter.manifests.manifest import SUFFIXES, Changes, Manifest
from services.exporter.manifests.options import change_options, options_id

FindJob = Callable[[str, str], Awaitable[Job | None]]
"""Finds a tenant's job by its id."""
MEDIA_TYPE = "application/octet-stream"
WRITE_BYTES = 4 * 1024 * 1024
"""Of a copied manifest that are written to the disk at a time."""


class Trackings:
    """Opens trackings.

    Args:
        keep_seconds: how long manifests are kept.
    """

    def __init__(self, blobs: BlobStore, find_job: FindJob, *, keep_seconds: float) -> None:
        self._blobs = blobs
        self._find_job = find_job
        self._keep_seconds = keep_seconds

    @asynccontextmanager
    async def open(
        self, job: Job, requested: ExportOptions, *, escape_formulas: bool
    ) -> AsyncIterator[Tracking | None]:
        """The tracking of a job; None if it keeps no manifest. Its temporary files are removed at the end.

        Args:
            requested: the options of the request.
            escape_formulas: whether the file has escaped formulas, which the deployment may decide.

        Raises:
            JobFault: the baseline is gone, or cannot be read.
        """
        options = change_options(requested)
        if options is None:
            yield None
            return
        key, asked = manifest_key(job), options_id(job.format, requested)
        manifest = Manifest(key, 0, 0, "", asked, options.key, self._keep_seconds)

        def open_writer(suffix: str) -> BlobWriter:
            return self._blobs.writer(key + suffix, media_type=MEDIA_TYPE)

        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            tracking = Tracking(options, manifest, open_writer, folder, escape_formulas)
            if options.changes_since is None:
                yield tracking
                return
            found = await self._baseline(job.tenant, str(options.changes_since), asked, Path(folder))
            if isinstance(found, ErrorInfo):
                if options.on_missing_baseline == "fail":
                    raise JobFault(found.code, found.message, transient=False)
                tracking.base, tracking.warning = Changes(), made_in_full(found)
                yield tracking
                return
            base, tracking.baseline, tracking.columns = found
            tracking.base = base
            with tracking.baseline:
                yield tracking

    async def _baseline(
        self, tenant: str, job_id: str, options: str, folder: Path
    ) -> tuple[Changes, Baseline, str] | ErrorInfo:
        base = await self._find_job(tenant, job_id)
        problem = baseline_problem(base, job_id, options)
        if problem is not None or base is None or base.manifest is None:
            return problem or ErrorInfo("baseline_missing", "")
        try:
            await copy_manifest(self._blobs, base.manifest, folder)
            baseline = Baseline(folder, base.manifest.rows)
        except (BlobMissing, BaselineDamaged):
            return ErrorInfo("baseline_missing", f"changes_since: the manifest of the job {job_id} is gone.")
        except BlobError as exc:
            message = "The artifact store is not available; the export is retried."
            raise JobFault("artifact_store_unavailable", message, transient=True) from exc
        number = base.changes.number if base.changes is not None else 0
        sha256 = base.artifact.sha256 if base.artifact is not None else ""
        return Changes(job_id, sha256, number + 1), baseline, base.manifest.columns


async def copy_manifest(blobs: BlobStore, manifest: Manifest, folder: Path) -> None:
    """Copy the blobs of a manifest to a folder, a few MiB at a time.

    Raises:
        BlobError: the store has not got it, or does not answer.
    """
    for suffix in SUFFIXES:
        with (folder / suffix).open("wb") as file:
            waiting = bytearray()
            async for chunk in blobs.read(manifest.key + suffix):
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(file.write, bytes(waiting))
