"""Creates the deliveries of completed jobs. The platforms of a job are decided once, when its completion is first seen.

An event may arrive twice, late, or after a platform was added; the decision does not change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

import structlog

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Database, Document, insert_missing, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW, literal
from services.chassis.rpc.requests import canonical_id
from services.chassis.telemetry import tracing
from services.delivery.deliveries.delivery import PLATFORM_INACTIVE, PLATFORM_NOT_FOUND, File, NewDelivery
from services.delivery.deliveries.outcomes import METRICS
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.store import PlatformStore
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

REMEMBERED_SECONDS = 30 * 86_400


# Older versions did not store it. A decision that is not older than a job was made about that job.
_JOB_CREATED_AT = {"$ifNull": ["$job_created_at", "$settled_at"]}


@dataclass(frozen=True, slots=True)
class Decision:
    """The platforms that a job is delivered to, and whether all its deliveries are stored."""

    platform_ids: Sequence[str]
    is_done: bool


class FanOutStore:
    """The `fan_outs` collection: the platforms a job is delivered to, and whether all its deliveries are stored.

    There is one document for each job id. If a job was deleted and requested again, it is about the newest one.
    """

    def __init__(self, database: Database) -> None:
        self._fan_outs = database["fan_outs"]

    @translate_errors
    async def prepare(self) -> None:
        """Create the index that removes old documents, long after their completions could be reported again."""
        await self._fan_outs.create_index("settled_at", expireAfterSeconds=REMEMBERED_SECONDS)

    @translate_errors
    async def is_done(self, job_id: str, created_at: datetime) -> bool:
        """Whether all deliveries of the job are stored."""
        where = {"_id": job_id, "is_done": True, "$expr": {"$gte": [_JOB_CREATED_AT, created_at]}}
        return await self._fan_outs.find_one(where, {"_id": 1}) is not None

    @translate_errors
    async def settle(self, job_id: str, created_at: datetime, platform_ids: Sequence[str]) -> Decision:
        """Store the platforms a job is delivered to, unless that was decided before; returns what is stored.

        It replaces the decision about an earlier job with the same id, which was deleted and requested again. A job
        without platforms has all its deliveries.
        """
        new = {"platform_ids": list(platform_ids), "job_created_at": created_at, "is_done": not platform_ids}
        found = await insert_or_get(self._fan_outs, {"_id": job_id, **new}, {"settled_at": NOW})
        if _about(found) < created_at:
            earlier = {"_id": job_id, "$expr": {"$lt": [_JOB_CREATED_AT, created_at]}}
            decision: Document = {**new, "platform_ids": literal(new["platform_ids"]), "settled_at": NOW}
            await self._fan_outs.update_one(earlier, [{"$set": decision}])
            found = await self._fan_outs.find_one({"_id": job_id}) or found
        # About a newer job: this event is late, and the file of the older job is gone.
        is_late = found.get("job_created_at", created_at) > created_at
        return Decision(found["platform_ids"], is_done=found.get("is_done", False) or is_late)

    @translate_errors
    async def settle_without_platforms(self, jobs: Sequence[tuple[str, datetime]]) -> set[str]:
        """The same for jobs, by id and creation time, that go to no platform, with one write.

        Returns:
            The ids of the jobs for which nothing was stored before.
        """
        rows: list[tuple[Document, Document]] = [
            ({"_id": job_id, "platform_ids": [], "job_created_at": created_at, "is_done": True}, {"settled_at": NOW})
            for job_id, created_at in jobs
        ]
        return {jobs[index][0] for index in await insert_missing(self._fan_outs, rows)}

    @translate_errors
    async def done(self, job_id: str, created_at: datetime) -> None:
        """Record that all deliveries of the job are stored."""
        where = {"_id": job_id, "job_created_at": {"$in": [None, created_at]}}  # None: see `_JOB_CREATED_AT`
        await self._fan_outs.update_one(where, {"$set": {"is_done": True}})


def _about(document: Document) -> datetime:
    """When the job that a decision is about was created."""
    at: datetime = document.get("job_created_at") or document["settled_at"]
    return at


class FanOut:
    """Creates the deliveries of completed jobs.

    Args:
        wake: called after new deliveries were stored.
    """

    def __init__(
        self,
        store: FanOutStore,
        platforms: PlatformStore,
        deliveries: DeliveryStore,
        *,
        max_attempts: int,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._platforms = platforms
        self._deliveries = deliveries
        self._max_attempts = max_attempts
        self._wake = wake

    async def is_done(self, file: pb.JobFile) -> bool:
        """Whether the deliveries of a completed job are stored already."""
        return await self._store.is_done(file.job.id, file.job.created_at.ToDatetime(UTC))

    async def settle_without_platforms(self, files: Sequence[pb.JobFile]) -> set[str]:
        """Decide about those completed jobs that go to no platform, with one read and one write for all of them.

        Returns:
            The ids of the jobs that this has decided about; the others need `create_deliveries`.
        """
        anywhere = [file.job.tenant for file in files if not file.job.HasField("platforms")]
        busy = await self._platforms.tenants_with_active(anywhere) if anywhere else set()
        jobs = [
            (file.job.id, file.job.created_at.ToDatetime(UTC))
            for file in files
            if not (file.job.platforms.platform_ids if file.job.HasField("platforms") else file.job.tenant in busy)
        ]
        return await self._store.settle_without_platforms(jobs)

    async def create_deliveries(self, file: pb.JobFile) -> int:
        """Store the deliveries of a completed job; returns how many, or 0 if they are stored already."""
        job = file.job
        attributes: dict[str, tracing.Attribute] = {"exports.job.id": job.id, "exports.tenant": job.tenant}
        with tracing.span("fan out", parent=tracing.from_text(file.traceparent), attributes=attributes):
            return await self._store_deliveries(file)

    async def _store_deliveries(self, file: pb.JobFile) -> int:
        job = file.job
        if job.HasField("platforms"):
            chosen = list(dict.fromkeys(map(canonical_id, job.platforms.platform_ids)))
        else:
            chosen = [platform.id for platform in await self._platforms.active(job.tenant)]
        created_at = job.created_at.ToDatetime(UTC)
        decision = await self._store.settle(job.id, created_at, chosen)
        if decision.is_done:
            return 0
        platform_ids = decision.platform_ids
        known = {p.id: p for p in await self._platforms.named(job.tenant, platform_ids)}
        await self._add_all(file, [(platform_id, known.get(platform_id)) for platform_id in platform_ids])
        await self._store.done(job.id, created_at)
        self._wake()
        log.info("fanned_out", action="fan_out", job_id=job.id, tenant=job.tenant, platforms=len(platform_ids))
        return len(platform_ids)

    async def _add_all(self, file: pb.JobFile, targets: Sequence[tuple[str, Platform | None]]) -> None:
        new = [(new_delivery(file, *target, self._max_attempts), _refusal(target[1])) for target in targets]
        for index in await self._deliveries.add_all(new):
            delivery, error = new[index]
            if error is not None:
                METRICS.failures.labels(delivery.platform_type, error.code).inc()


def _refusal(platform: Platform | None) -> ErrorInfo | None:
    """Why nothing can be delivered to the platform."""
    if platform is None:
        return PLATFORM_NOT_FOUND
    return None if platform.is_active else PLATFORM_INACTIVE


def new_delivery(
    source: pb.JobFile, platform_id: str, platform: Platform | None, max_attempts: int, request_key: str = ""
) -> NewDelivery:
    """A delivery of a completed job to a platform, in the current trace."""
    job = source.job
    file = File(
        key=source.artifact_key,
        name=job.artifact.file_name,
        extension="".join(PurePosixPath(source.artifact_key).suffixes),
        media_type=job.artifact.media_type,
        size=job.artifact.size_bytes,
        sha256=job.artifact.sha256,
        format=job.format,
        schedule_name=job.schedule_name,
        created_at=job.created_at.ToDatetime(UTC),
        base_job_id=job.changes.base_job_id,
        base_sha256=job.changes.base_sha256,
        changes_number=job.changes.number,
    )
    return NewDelivery(
        tenant=job.tenant,
        job_id=job.id,
        platform_id=platform_id,
        platform_name=platform.name if platform else "",
        platform_type=platform.type if platform else "",
        file=file,
        max_attempts=max_attempts,
        traceparent=tracing.traceparent(),
        request_key=request_key,
    )
