"""Admits jobs within the limits of their tenant. The number of live jobs is exact under parallel requests.

A job that may exceed the limit is stored first and counted afterwards; if there are too many, it is withdrawn. Until
its request has decided, it carries the request's `admission` token: a repeated request, which finds the job stored,
waits for the decision, so that no job that was reported as accepted is withdrawn.
"""

import asyncio
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.chassis.recent import Recent
from services.exporter.errors import TooManyBytes, TooManyJobs
from services.exporter.jobs.job import Job, NewJob
from services.exporter.jobs.store import JobStore
from services.limits import Limits

MAX_UNCOUNTED = 500
"""Jobs of one tenant that all replicas may store between two counts. With more room than this below the limit, a job is
stored without being counted afterwards."""
COUNT_SECONDS, JOBS_PER_COUNT = 1.0, 20
"""How long a count is used, and for how many jobs, where there is that much room."""
DECISION_SECONDS = 2.0
"""A request decides in milliseconds; one that has not after this time has ended with its process."""
POLL_SECONDS = 0.05


@dataclass(slots=True)
class _Room:
    """What a tenant's last count allows: jobs that may be stored without another one."""

    jobs: int


class Admission:
    """Checks and enforces the limits of jobs and of stored bytes."""

    def __init__(self, store: JobStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._room = Recent[_Room](COUNT_SECONDS)

    async def check(self, tenant: str) -> None:
        """Refuse early what would be refused later.

        Raises:
            TooManyJobs, TooManyBytes: a limit of the tenant is reached.
        """
        limits = self._limits.of(tenant)
        await self._has_room(tenant)
        if limits.max_artifact_bytes is not None:
            stored = await self._store.artifact_bytes(tenant)
            if stored >= limits.max_artifact_bytes:
                raise TooManyBytes(stored, limits.max_artifact_bytes)

    async def accept(self, new: NewJob) -> Job:
        """Store a new job, or return the job that has this id already; it may not be `settled`.

        Raises:
            TooManyJobs: the tenant's limit is reached.
        """
        for is_last in (False, True):
            if await self._take_room(new.tenant):
                return await self._store.accept(new)
            token = uuid.uuid4().hex
            job = await self._store.accept(new, admission=token)
            if job.admission != token:
                return job
            if not await self._exceeds(new.tenant) or not await self._store.withdraw(job):
                return await self._store.admit(job) or job
            if not is_last:
                await _let_others_decide()
        raise TooManyJobs(self._limits.of(new.tenant).max_live_jobs)

    async def settled(self, job: Job) -> Job:
        """The job once it is certain that it stays.

        Raises:
            TooManyJobs: the request that had stored it has withdrawn it.
        """
        while job.admission:
            if datetime.now(UTC) - job.created_at > timedelta(seconds=DECISION_SECONDS):
                found = await self._store.admit(job)
            else:
                await asyncio.sleep(POLL_SECONDS)
                found = await self._store.get_current(job.tenant, job.id)
            if found is None:
                raise TooManyJobs(self._limits.of(job.tenant).max_live_jobs)
            job = found
        return job

    async def retry(self, tenant: str, job_id: str) -> Job | None:
        """Restart a failed or cancelled job; None when it is in another state.

        Raises:
            TooManyJobs: the tenant's limit is reached.
        """
        for is_last in (False, True):
            has_room = await self._take_room(tenant)
            before = await self._store.get(tenant, job_id)
            job = await self._store.retry(tenant, job_id)
            if job is None or before is None or has_room or not await self._exceeds(tenant):
                return job
            await self._store.undo_retry(before)
            if not is_last:
                await _let_others_decide()
        raise TooManyJobs(self._limits.of(tenant).max_live_jobs)

    async def _has_room(self, tenant: str) -> bool:
        """Whether there is room for all jobs that may be stored before the next count.

        Raises:
            TooManyJobs: the tenant's limit is reached.
        """
        room = self._room.get(tenant)
        if room is not None and room.jobs > 0:
            return True
        limit = self._limits.of(tenant).max_live_jobs
        live = await self._store.live_count(tenant, limit)
        if live >= limit:
            raise TooManyJobs(limit)
        if live + MAX_UNCOUNTED >= limit:
            return False
        self._room.put(tenant, _Room(JOBS_PER_COUNT))
        return True

    async def _take_room(self, tenant: str) -> bool:
        """As `_has_room`, for a job that is stored next."""
        if not await self._has_room(tenant):
            return False
        room = self._room.get(tenant)
        if room is not None:
            room.jobs -= 1
        return True

    async def _exceeds(self, tenant: str) -> bool:
        limit = self._limits.of(tenant).max_live_jobs
        return await self._store.live_count(tenant, limit + 1) > limit


async def _let_others_decide() -> None:
    """Wait before a second attempt: concurrent requests may have refused each other and left room."""
    await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311  no secret
