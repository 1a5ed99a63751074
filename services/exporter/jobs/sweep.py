"""Retention and cleanup: removes expired files, files of lost attempts and old jobs; measures what is left."""

from collections.abc import AsyncIterator

import structlog
from prometheus_client import Counter, Gauge

from services.chassis.blobs.contract import BlobStore
from services.exporter.jobs.artifacts import is_garbage, manifest_keys, parse_key
from services.exporter.jobs.job import LIVE
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.tenant_metrics import TenantMetrics

log = structlog.get_logger()

SWEPT = Counter("exporter_files_swept_total", "Files removed, by reason.", ["reason"])
OLDEST = Gauge("exporter_oldest_live_job_seconds", "Age of the oldest unfinished job.")
WAITING = Gauge("exporter_oldest_waiting_job_seconds", "How long the oldest waiting job has waited for a worker.")
JOBS = Gauge("exporter_jobs", "Unfinished jobs, by state.", ["state"])
FREE = Gauge(
    "exporter_artifact_store_free_bytes", "Free space in the file system of the artifact store; 0 for a bucket."
)
SIZE = Gauge("exporter_artifact_store_size_bytes", "Size of the file system of the artifact store; 0 for a bucket.")

LOOKUP = 500


class Sweeper:
    """Runs one round at a time; any number of replicas may sweep concurrently.

    Args:
        tenants: shows the live jobs of single tenants as well.
        history: seconds that an ended job without a file is kept.
    """

    def __init__(
        self, store: JobStore, blobs: BlobStore, tenants: TenantMetrics | None = None, *, history: float
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._tenants = tenants
        self._history = history

    async def round(self) -> None:
        """Expire jobs, remove unused files, remove old jobs."""
        await self._expire()
        await self._drop_manifests()
        async for keys in self._chunks():
            await self._remove_garbage(keys)
        removed = await self._store.forget(self._history)
        if removed:
            log.info("jobs_forgotten", action="sweep", count=removed)

    async def measure(self) -> None:
        """Update the gauges that are the same on every replica: oldest live job, jobs by state, space in the store."""
        OLDEST.set(await self._store.oldest_live_age())
        WAITING.set(await self._store.oldest_waiting_age())
        counts = await self._store.live_counts()
        for state in LIVE:
            JOBS.labels(state.value).set(sum(count for (_, of), count in counts.items() if of is state))
        if self._tenants is not None:
            self._tenants.show_jobs(counts)
        room = await self._blobs.room()
        if room is not None:
            FREE.set(room.free)
            SIZE.set(room.size)

    async def _expire(self) -> None:
        while (job := await self._store.expire_one()) is not None:
            if job.artifact is not None:
                await self._blobs.delete(job.artifact.key)
            SWEPT.labels("expired").inc()
            log.info("job_expired", action="sweep", job_id=job.id, tenant=job.tenant)

    async def _drop_manifests(self) -> None:
        while (job := await self._store.drop_manifest()) is not None:
            for key in manifest_keys(job.manifest):
                await self._blobs.delete(key)
            SWEPT.labels("manifest").inc()
            log.info("manifest_dropped", action="sweep", job_id=job.id, tenant=job.tenant)

    async def _chunks(self) -> AsyncIterator[list[str]]:
        """All keys, of finished and unfinished files, in chunks of `LOOKUP`."""
        keys: list[str] = []
        async for key in self._blobs.keys():
            keys.append(key)
            if len(keys) >= LOOKUP:
                yield keys
                keys = []
        if keys:
            yield keys

    async def _remove_garbage(self, keys: list[str]) -> None:
        refs = {key: ref for key in keys if (ref := parse_key(key)) is not None}
        jobs = await self._store.by_ids(sorted({ref.job_id for ref in refs.values()}))
        for key, ref in refs.items():
            # Just after an election, the first look may miss that a job exists or has ended again.
            if is_garbage(key, jobs.get(ref.job_id)) and is_garbage(key, await self._store.linearized(ref.job_id)):
                await self._blobs.delete(key)
                SWEPT.labels("garbage").inc()
                log.info("file_swept", action="sweep", job_id=ref.job_id, fence=ref.fence)
