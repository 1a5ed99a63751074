"""Reads jobs from MongoDB: one, pages, counts, ages. Nothing here changes a job."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pymongo.errors import ExecutionTimeout

from services.chassis import mongo
from services.chassis.mongo import Database, Document, translate_errors
from services.chassis.mongo_expressions import NOW, Expression, among, between, seconds_since
from services.chassis.paging import Page, Position
from services.exporter.jobs.documents import from_document, to_report
from services.exporter.jobs.job import ENDED, LIVE, WAITING, Job, JobState
from services.exporter.transcode.findings import Findings

WITHOUT_REPORT: Document = {"report": 0}
"""Projection for those who need the job itself."""
WITHOUT_OPTIONS: Document = {"options_json": 0, **WITHOUT_REPORT}
"""Projection for those who need a job's state only: options may be long. `options_json` is then empty."""
MAX_COUNTED = 1_000_000
MAX_FIND_MILLIS = 500
STORED_BYTES = "tenant_1_state_1_artifact.size_1"
"""The index of the sizes of files."""


class JobQueries:
    """The reading half of the `jobs` collection."""

    def __init__(self, database: Database) -> None:
        self._jobs = database["jobs"]

    @translate_errors
    async def get(self, tenant: str, job_id: str) -> Job | None:
        """A tenant's job."""
        document = await self._jobs.find_one({"_id": job_id, "tenant": tenant}, WITHOUT_REPORT)
        return None if document is None else from_document(document)

    @translate_errors
    async def get_current(self, tenant: str, job_id: str) -> Job | None:
        """A tenant's job; None only if it certainly does not exist, even just after an election."""
        document = await mongo.find_current(self._jobs, {"_id": job_id, "tenant": tenant}, WITHOUT_REPORT)
        return None if document is None else from_document(document)

    @translate_errors
    async def report(self, job: Job) -> Findings:
        """What the columns of the request did to single rows of a job's file."""
        found = await self._jobs.find_one({"_id": job.id, "tenant": job.tenant}, {"report": 1})
        return to_report((found or {}).get("report", {}))

    @translate_errors
    async def linearized(self, job_id: str) -> Job | None:
        """A job as a majority of the members has it now, without its options; slower than the other reads."""
        document = await mongo.find_linearized(self._jobs, {"_id": job_id}, WITHOUT_OPTIONS)
        return None if document is None else from_document(document)

    @translate_errors
    async def seconds_until_due(self, job_id: str) -> float | None:
        """Until the job may be claimed: the end of its lease or of its delay. None: it has ended, or never was."""
        left = {"$max": [0, {"$subtract": ["$dispatch_at", NOW]}]}
        found = await self._jobs.find_one({"_id": job_id, **among(LIVE)}, {"left": left})
        return None if found is None else (found["left"] or 0) / 1_000

    @translate_errors
    async def last_completed(self, tenant: str, form: str) -> Job | None:
        """The tenant's newest file in a format, without its options; None also if finding it takes long."""
        where = {"tenant": tenant, "state": JobState.COMPLETED.value, "format": form}
        newest = [("created_at", -1), ("_id", -1)]
        try:
            document = await self._jobs.find_one(where, WITHOUT_OPTIONS, sort=newest, max_time_ms=MAX_FIND_MILLIS)
        except ExecutionTimeout:
            return None
        return None if document is None else from_document(document)

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
        after: Position | None,
        limit: int,
        created: tuple[datetime | None, datetime | None] = (None, None),
        newest_first: bool = True,
        profile_id: str = "",
    ) -> Page[Job]:
        """A tenant's jobs by their time of creation, after the position `after` (created_at, id).

        Args:
            created: from the first time on, and before the second.
        """
        where: Document = {"tenant": tenant, **between("created_at", *created)}
        if states:
            where["$or"] = [_shown_as(state) for state in states]
        if form:
            where["format"] = form
        if schedule_id:
            where["schedule_id"] = schedule_id
        if profile_id:
            where["profile_id"] = profile_id
        found = await mongo.page(self._jobs, where, after=after, limit=limit, newest_first=newest_first)
        return found.converted(from_document)

    @translate_errors
    async def ended_since(self, since: datetime, after: Position | None, limit: int) -> Page[Job]:
        """Ended jobs of all tenants, oldest end first, after the position `after` (finished_at, id)."""
        where = {**among(ENDED), "finished_at": {"$gte": since}}
        found = await mongo.page(self._jobs, where, after=after, limit=limit, by="finished_at", newest_first=False)
        return found.converted(from_document)

    @translate_errors
    async def by_ids(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """The jobs that exist among these, without their options."""
        found = self._jobs.find({"_id": {"$in": list(job_ids)}}, WITHOUT_OPTIONS)
        return {d["_id"]: from_document(d) async for d in found}

    @translate_errors
    async def whole(self, job_ids: Sequence[str]) -> list[Job]:
        """The same with their options; ask for a few jobs at a time."""
        return [from_document(d) async for d in self._jobs.find({"_id": {"$in": list(job_ids)}}, WITHOUT_REPORT)]

    @translate_errors
    async def live_counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs are live, by tenant and state; read from an index alone. Ended jobs are too many to count."""
        group = {"_id": {"tenant": "$tenant", "state": "$state"}, "count": {"$sum": 1}}
        found = self._jobs.aggregate([{"$match": among(LIVE)}, {"$group": group}])
        return {(d["_id"]["tenant"], JobState(d["_id"]["state"])): d["count"] async for d in found}

    @translate_errors
    async def artifact_bytes_by_tenant(self) -> dict[str, int]:
        """The size of the finished files that are still stored, of each tenant; read from an index alone."""
        # With a condition on its first field and the hint, MongoDB uses the index that has the sizes.
        stages: list[Document] = [
            {"$match": {"tenant": {"$gte": ""}, "state": JobState.COMPLETED.value}},
            {"$group": {"_id": "$tenant", "bytes": {"$sum": "$artifact.size"}}},
        ]
        found = self._jobs.aggregate(stages, hint=STORED_BYTES)
        return {d["_id"]: int(d["bytes"]) async for d in found}

    @translate_errors
    async def oldest_live_age(self) -> float:
        """Seconds since the oldest live job was accepted or retried; 0 when there is none."""
        return await self._oldest(LIVE, {"$ifNull": ["$retried_at", "$created_at"]})

    @translate_errors
    async def oldest_waiting_age(self) -> float:
        """Seconds that a job has waited for a worker, of the one that has waited longest; 0 when there is none.

        A retry waits for a worker from the end of its delay.
        """
        accepted = {"$ifNull": ["$retried_at", "$created_at"]}
        is_retry = {"$eq": ["$state", JobState.RETRY_WAIT.value]}
        return max(0.0, await self._oldest(WAITING, {"$cond": [is_retry, "$retry_at", accepted]}))

    async def _oldest(self, states: Collection[JobState], since: Expression) -> float:
        age = {"$project": {"age": seconds_since(since)}}
        cursor = self._jobs.aggregate([{"$match": among(states)}, age, {"$sort": {"age": -1}}, {"$limit": 1}])
        return max([float(document["age"]) async for document in cursor], default=0.0)


def _shown_as(state: JobState) -> Document:
    """A condition: the API shows the job in this state. A file past its retention is expired before it is swept."""
    over: Document = {"state": JobState.COMPLETED.value, "$expr": {"$lte": ["$expires_at", NOW]}}
    if state is JobState.EXPIRED:
        return {"$or": [{"state": state.value}, over]}
    if state is JobState.COMPLETED:
        return {"state": state.value, "$expr": {"$gt": ["$expires_at", NOW]}}
    return {"state": state.value}
