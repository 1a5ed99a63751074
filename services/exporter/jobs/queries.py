"""Reads jobs from MongoDB: one, pages, counts, ages. Nothing here changes a job."""

from collections.abc import Sequence
from datetime import datetime

from services.chassis import mongo
from services.chassis.mongo import Database, Document, translate_errors
from services.chassis.mongo_expressions import NOW, among, seconds_since
from services.chassis.paging import Page, Position
from services.exporter.jobs.documents import from_document
from services.exporter.jobs.job import LIVE, Job, JobState

WITHOUT_OPTIONS: Document = {"options_json": 0}
"""Projection for those who need a job's state only: options may be long. `options_json` is then empty."""
MAX_COUNTED = 1_000_000


class JobQueries:
    """The reading half of the `jobs` collection."""

    def __init__(self, database: Database) -> None:
        self._jobs = database["jobs"]

    @translate_errors
    async def get(self, tenant: str, job_id: str) -> Job | None:
        """A tenant's job."""
        document = await self._jobs.find_one({"_id": job_id, "tenant": tenant})
        return None if document is None else from_document(document)

    @translate_errors
    async def get_current(self, tenant: str, job_id: str) -> Job | None:
        """A tenant's job; None only if it certainly does not exist, even just after an election."""
        document = await mongo.find_current(self._jobs, {"_id": job_id, "tenant": tenant})
        return None if document is None else from_document(document)

    @translate_errors
    async def linearized(self, job_id: str) -> Job | None:
        """A job as a majority of the members has it now, without its options; slower than the other reads."""
        document = await mongo.find_linearized(self._jobs, {"_id": job_id}, WITHOUT_OPTIONS)
        return None if document is None else from_document(document)

    @translate_errors
    async def is_live(self, job_id: str) -> bool:
        """Whether the job exists and has not ended."""
        return await self._jobs.find_one({"_id": job_id, **among(LIVE)}, {"_id": 1}) is not None

    @translate_errors
    async def live_count(self, tenant: str, at_most: int = MAX_COUNTED) -> int:
        """How many jobs of the tenant are waiting or running, counted up to `at_most`."""
        return await self._jobs.count_documents({"tenant": tenant, **among(LIVE)}, limit=at_most)

    @translate_errors
    async def artifact_bytes(self, tenant: str) -> int:
        """The size of the tenant's finished files that are still stored; read from an index alone."""
        stages: list[Document] = [
            {"$match": {"tenant": tenant, "state": JobState.COMPLETED.value}},
            {"$group": {"_id": None, "bytes": {"$sum": "$artifact.size"}}},
        ]
        return sum([int(document["bytes"]) async for document in self._jobs.aggregate(stages)])

    @translate_errors
    async def page(
        self,
        tenant: str,
        *,
        states: Sequence[JobState],
        form: str,
        schedule_id: str,
        before: Position | None,
        limit: int,
    ) -> Page[Job]:
        """A tenant's jobs, newest first, after the position `before` (created_at, id)."""
        where: Document = {"tenant": tenant}
        if states:
            where["$or"] = [_shown_as(state) for state in states]
        if form:
            where["format"] = form
        if schedule_id:
            where["schedule_id"] = schedule_id
        return (await mongo.page(self._jobs, where, after=before, limit=limit)).converted(from_document)

    @translate_errors
    async def completions(self, since: datetime, after: Position | None, limit: int) -> Page[Job]:
        """Completed jobs of all tenants, oldest completion first, after the position `after` (finished_at, id)."""
        where = {"state": JobState.COMPLETED.value, "finished_at": {"$gte": since}}
        found = await mongo.page(self._jobs, where, after=after, limit=limit, by="finished_at", newest_first=False)
        return found.converted(from_document)

    @translate_errors
    async def by_ids(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """The jobs that exist among these, without their options."""
        found = self._jobs.find({"_id": {"$in": list(job_ids)}}, WITHOUT_OPTIONS)
        return {d["_id"]: from_document(d) async for d in found}

    @translate_errors
    async def live_counts(self) -> dict[JobState, int]:
        """How many jobs are live, by state; read from an index alone. Ended jobs are too many to count."""
        stages: list[Document] = [{"$match": among(LIVE)}, {"$group": {"_id": "$state", "count": {"$sum": 1}}}]
        return {JobState(d["_id"]): d["count"] async for d in self._jobs.aggregate(stages)}

    @translate_errors
    async def oldest_live_age(self) -> float:
        """Seconds since the oldest live job was accepted or retried; 0 when there is none."""
        age = seconds_since({"$ifNull": ["$retried_at", "$created_at"]})
        cursor = self._jobs.aggregate(
            [{"$match": among(LIVE)}, {"$project": {"age": age}}, {"$sort": {"age": -1}}, {"$limit": 1}]
        )
        return max([float(document["age"]) async for document in cursor], default=0.0)


def _shown_as(state: JobState) -> Document:
    """A condition: the API shows the job in this state. A file past its retention is expired before it is swept."""
    over: Document = {"state": JobState.COMPLETED.value, "$expr": {"$lte": ["$expires_at", NOW]}}
    if state is JobState.EXPIRED:
        return {"$or": [{"state": state.value}, over]}
    if state is JobState.COMPLETED:
        return {"state": state.value, "$expr": {"$gt": ["$expires_at", NOW]}}
    return {"state": state.value}
