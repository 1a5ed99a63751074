"""Jobs in MongoDB. Every state change is one compare-and-set on one document, with the server's clock (`$$NOW`).

Field `dispatch_at` is the outbox: when the job's wake-up has to be published next. While the job runs, that is the end
of its lease. It is absent while a wake-up that the stream has confirmed waits for a worker, and once the job has ended.
Field `ends` has the ends of the job that are still to be reported, and `event_at` when that is tried next. A job may
end, be restarted and end again before the first report is confirmed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document, insert_or_get, translate_errors
from services.chassis.mongo_expressions import NOW, among, is_due, later, literal
from services.exporter.jobs.documents import (
    artifact_document,
    error_document,
    from_document,
    manifest_document,
    new_document,
    report_document,
    reported_ends,
)
from services.exporter.jobs.job import ENDED, LIVE, RETRIABLE, WAITING, FinishedFile, Job, JobState, NewJob, Progress
from services.exporter.jobs.queries import STORED_BYTES, WITHOUT_OPTIONS, JobQueries

_LEASE_FIELDS = ["lease_until", "lease_owner"]
PUBLISH_SECONDS = 5.0
"""For the request that stores a job to publish its wake-up; after that, any replica does."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until another worker gets a higher fence."""

    job: Job

    @property
    def key(self) -> Document:
        """The condition under which this lease still holds.

        It includes the creation time: a job that was deleted and requested again has the same id and starts at fence 1.
        """
        job = self.job
        return {"_id": job.id, "fence": job.fence, "created_at": job.created_at, "state": JobState.RUNNING.value}


class JobStore(JobQueries):
    """The `jobs` collection."""

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._jobs.create_index([("dispatch_at", ASCENDING)], sparse=True)
        await self._jobs.create_index([("event_at", ASCENDING)], sparse=True)
        await self._jobs.create_index([("state", ASCENDING), ("expires_at", ASCENDING)])
        await self._jobs.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        sizes = [("tenant", ASCENDING), ("state", ASCENDING), ("artifact.size", ASCENDING)]
        await self._jobs.create_index(sizes, name=STORED_BYTES)
        # Claims: the tenants that wait, and the oldest job of one of them, however many jobs wait beside it.
        await self._jobs.create_index([("state", ASCENDING), ("tenant", ASCENDING), ("created_at", ASCENDING)])
        await self._jobs.create_index([("finished_at", ASCENDING), ("_id", ASCENDING)])
        await self._jobs.create_index([("manifest_until", ASCENDING)], sparse=True)

    async def _change(
        self,
        where: Document,
        *stages: Document,
        sort: list[tuple[str, int]] | None = None,
        projection: Document | None = WITHOUT_OPTIONS,
    ) -> Job | None:
        """The one compare-and-set: the changed job, or None when no job meets `where`."""
        document = await self._jobs.find_one_and_update(
            where,
            [*stages, {"$set": {"updated_at": NOW}}],
            projection=projection,
            sort=sort,
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else from_document(document)

    # Accepting and ending

    @translate_errors
    async def accept(self, job: NewJob, *, admission: str = "") -> Job:
        """Store a new job with its outbox, or return the job that has this id already, unchanged.

        Args:
            admission: token of the request; with it, the job stays withdrawable until `admit`.
        """
        new = {"_id": job.id, **new_document(job), **({"admission": admission} if admission else {})}
        times = {"created_at": NOW, "updated_at": NOW, "dispatch_at": later(PUBLISH_SECONDS)}
        return from_document(await insert_or_get(self._jobs, new, times))

    @translate_errors
    async def admit(self, job: Job) -> Job | None:
        """Let a withdrawable job stay; None when it was withdrawn, or admitted already."""
        return await self._change(_admission_of(job), {"$unset": ["admission"]}, projection=None)

    @translate_errors
    async def withdraw(self, job: Job) -> bool:
        """Remove a withdrawable job that is live; a worker that has claimed it is fenced."""
        return (await self._jobs.delete_one({**_admission_of(job), **among(LIVE)})).deleted_count == 1

    @translate_errors
    async def cancel(self, tenant: str, job_id: str) -> Job | None:
        """End a live job; None when it is not live."""
        where = {"_id": job_id, "tenant": tenant, **among(LIVE)}
        return await self._change(where, *_ending(JobState.CANCELLED, {}), projection=None)

    @translate_errors
    async def retry(self, tenant: str, job_id: str) -> Job | None:
        """Restart a failed or cancelled job with all its attempts. The fence is kept, so that old workers stay out."""
        where = {"_id": job_id, "tenant": tenant, **among(RETRIABLE)}
        restarted = {"state": "accepted", "stage": "queued", "attempt": 0, "processed": 0}
        restarted |= {"dispatch_at": later(PUBLISH_SECONDS), "retried_at": NOW}
        outdated = ["error", "started_at", "finished_at", "total", "warnings", "records"]
        return await self._change(where, {"$set": restarted}, {"$unset": outdated}, projection=None)

    @translate_errors
    async def undo_retry(self, before: Job) -> None:
        """End a restarted job as it had ended before; a worker that has claimed it is fenced."""
        where = {"_id": before.id, "created_at": before.created_at, **among(LIVE)}
        ended: Document = {
            "state": before.state.value,
            "stage": "",
            "attempt": before.attempt,
            "processed": before.processed,
            "total": before.total,
            "started_at": before.started_at,
            "finished_at": before.finished_at,
        }
        if before.error is not None:
            ended["error"] = literal(error_document(before.error))
        await self._change(
            where, {"$set": ended}, {"$unset": ["dispatch_at", "retry_at", "retried_at", *_LEASE_FIELDS]}
        )

    @translate_errors
    async def delete(self, tenant: str, job_id: str) -> Job | None:
        """Remove an ended job whose end is reported; None when there is none. The sweep removes a file left behind."""
        where = {"_id": job_id, "tenant": tenant, **among(ENDED), "event_at": {"$exists": False}}
        document = await self._jobs.find_one_and_delete(where, WITHOUT_OPTIONS)
        return None if document is None else from_document(document)

    # Waking

    @translate_errors
    async def due(self, limit: int) -> list[Job]:
        """Live jobs whose wake-up has to be published, those that have waited longest first."""
        where = {**is_due("dispatch_at"), **among(LIVE)}
        found = self._jobs.find(where, WITHOUT_OPTIONS).sort("dispatch_at", ASCENDING).limit(limit)
        return [from_document(document) async for document in found]

    @translate_errors
    async def dispatched(self, jobs: Sequence[Job]) -> None:
        """The stream has stored the wake-ups of these jobs. Those that have been claimed since are left alone."""
        if jobs:
            published = [{"_id": job.id, "dispatch_at": job.dispatch_at} for job in jobs]
            await self._jobs.update_many({"$or": published}, {"$unset": {"dispatch_at": ""}})

    @translate_errors
    async def dispatched_count(self) -> int:
        """How many jobs wait for a worker with a wake-up that the stream has stored."""
        return await self._jobs.count_documents(_DISPATCHED)

    @translate_errors
    async def dispatch_again(self) -> int:
        """Make all of them due; returns how many."""
        return (await self._jobs.update_many(_DISPATCHED, [{"$set": {"dispatch_at": NOW}}])).modified_count

    @translate_errors
    async def take_events(self, owner: str, pause: float, limit: int) -> list[Job]:
        """Ended jobs whose events have not been confirmed; they are due again after `pause` seconds.

        Args:
            owner: whoever takes them; the event of a job is taken by one at a time.
        """
        found = self._jobs.find(is_due("event_at"), {"_id": 1}).sort("event_at", ASCENDING).limit(limit)
        ids = [document["_id"] async for document in found]
        if not ids:
            return []
        taken = [{"$set": {"event_at": later(pause), "event_owner": literal(owner)}}]
        await self._jobs.update_many({"_id": {"$in": ids}, **is_due("event_at")}, taken)
        ours = {"_id": {"$in": ids}, "event_at": {"$type": "date"}, "event_owner": owner}
        return [from_document(document) async for document in self._jobs.find(ours, WITHOUT_OPTIONS)]

    @translate_errors
    async def events_sent(self, jobs: Sequence[Job]) -> None:
        """The stream has stored the events of these jobs, unless they have ended again since."""
        if jobs:
            reported = [{"_id": job.id, "created_at": job.created_at, **reported_ends(job)} for job in jobs]
            outdated = {"ends": "", "event_at": "", "event_owner": ""}
            await self._jobs.update_many({"$or": reported}, {"$unset": outdated})

    # Working

    @translate_errors
    async def claim(self, tenant: str, owner: str, lease: float, preferred: str = "") -> Lease | None:
        """Claim a tenant's job that waits or whose lease has run out: fence + 1, attempt + 1. None: no such job.

        Args:
            preferred: id of the job to claim if possible; otherwise the oldest one is claimed.
        """
        where = {"tenant": tenant, **among(LIVE), "$expr": {"$and": [_IS_FREE, _HAS_ATTEMPTS]}}
        taken = {
            "state": JobState.RUNNING.value,
            "stage": "reading",
            "processed": 0,
            "total": None,
            "fence": {"$add": ["$fence", 1]},
            "attempt": {"$add": ["$attempt", 1]},
            "taken_over": {"$eq": ["$state", JobState.RUNNING.value]},
            "started_at": {"$ifNull": ["$started_at", NOW]},
            "lease_owner": literal(owner),
            "lease_until": later(lease),
            "dispatch_at": later(lease),
        }
        job = None
        if preferred:
            job = await self._change({"_id": preferred, **where}, {"$set": taken}, projection=None)
        if job is None:
            job = await self._change(where, {"$set": taken}, sort=[("created_at", ASCENDING)], projection=None)
        return None if job is None else Lease(job)

    @translate_errors
    async def waiting_tenants(self) -> set[str]:
        """Tenants that have a job to be claimed."""
        accepted = await self._jobs.distinct("tenant", {"state": JobState.ACCEPTED.value})
        others = {**among(LIVE - {JobState.ACCEPTED}), "$expr": _IS_FREE}
        # Not `distinct`, which does not know $$NOW.
        cursor = self._jobs.aggregate([{"$match": others}, {"$group": {"_id": "$tenant"}}])
        return {*accepted, *[document["_id"] async for document in cursor]}

    @translate_errors
    async def give_up(self, error: ErrorInfo) -> Job | None:
        """Fail a job whose lease has run out at its last attempt: it ended its process each time. None: no such job."""
        where = {"state": JobState.RUNNING.value, "$expr": {"$and": [_IS_FREE, {"$not": _HAS_ATTEMPTS}]}}
        return await self._change(where, *_failing(error))

    @translate_errors
    async def heartbeat(self, lease: Lease, progress: Progress, seconds: float) -> bool:
        """Store the progress and extend the lease. False: the job was cancelled or claimed again; stop."""
        reported = {"stage": progress.stage.value, "processed": progress.processed, "total": progress.total}
        until = {"lease_until": later(seconds), "dispatch_at": later(seconds)}
        return await self._change(lease.key, {"$set": {**reported, **until}}) is not None

    @translate_errors
    async def complete(self, lease: Lease, file: FinishedFile) -> bool:
        """Commit the file: the one moment at which the job becomes completed. False: the lease was lost."""
        rows = sum(file.records.values())
        done = {
            "artifact": literal(artifact_document(file.artifact)),
            "records": literal(dict(file.records)),
            "processed": rows,
            "total": rows,
            "warnings": literal([error_document(warning) for warning in file.warnings]),
            "expires_at": later(file.keep_seconds),
        }
        if file.manifest is not None:
            done["manifest"] = literal(manifest_document(file.manifest))
            done["manifest_until"] = later(file.manifest.keep_seconds)
        if file.changes is not None:
            done["changes"] = literal(asdict(file.changes))
        if file.findings.counts:
            done["report"] = literal(report_document(file.findings))
        ending = _ending(JobState.COMPLETED, done, rows=rows)
        return await self._change(lease.key, *ending, {"$unset": ["error"]}) is not None

    @translate_errors
    async def fail(self, lease: Lease, error: ErrorInfo) -> bool:
        """End the job without a file."""
        return await self._change(lease.key, *_failing(error)) is not None

    @translate_errors
    async def wait_for_retry(self, lease: Lease, error: ErrorInfo, delay: float) -> bool:
        """Let the job wait `delay` seconds for its next attempt."""
        waiting = {
            "state": JobState.RETRY_WAIT.value,
            "stage": "queued",
            "error": literal(error_document(error)),
            "retry_at": later(delay),
            "dispatch_at": later(delay),
        }
        return await self._change(lease.key, {"$set": waiting}, {"$unset": _LEASE_FIELDS}) is not None

    @translate_errors
    async def give_back(self, lease: Lease) -> bool:
        """Return a job because this process stops: the attempt does not count and the job is due immediately."""
        back = {
            "state": JobState.ACCEPTED.value,
            "stage": "queued",
            "attempt": {"$subtract": ["$attempt", 1]},
            "dispatch_at": NOW,
        }
        return await self._change(lease.key, {"$set": back}, {"$unset": _LEASE_FIELDS}) is not None

    @translate_errors
    async def note_deliveries(self, jobs: Sequence[tuple[str, datetime]], *, has_deliveries: bool) -> None:
        """Note whether these jobs, by id and creation time, have deliveries; False only where nothing is noted yet."""
        if not jobs:
            return
        where: Document = {"$or": [{"_id": job_id, "created_at": at} for job_id, at in jobs]}
        if not has_deliveries:
            where["has_deliveries"] = {"$exists": False}
        await self._jobs.update_many(where, {"$set": {"has_deliveries": has_deliveries}})

    # Cleaning up

    @translate_errors
    async def expire_one(self) -> Job | None:
        """Mark a completed job whose retention is over; the caller then removes the file."""
        return await self._change({"state": "completed", **is_due("expires_at")}, {"$set": {"state": "expired"}})

    @translate_errors
    async def drop_manifest(self) -> Job | None:
        """Forget a manifest whose time is over, and return its job with it; the caller then removes the blobs."""
        where = {"manifest_until": {"$type": "date"}, **is_due("manifest_until")}
        found = await self._jobs.find_one_and_update(where, {"$unset": {"manifest": "", "manifest_until": ""}})
        return None if found is None else from_document(found)

    @translate_errors
    async def forget(self, older_than: float) -> int:
        """Remove jobs without a file that ended more than `older_than` seconds ago; returns how many."""
        ended = {**among(ENDED - {JobState.COMPLETED}), "event_at": {"$exists": False}}
        old = {"$expr": {"$lt": ["$finished_at", later(-older_than)]}, "finished_at": {"$type": "date"}}
        return (await self._jobs.delete_many({**ended, **old})).deleted_count


_DISPATCHED: Document = {**among(WAITING), "dispatch_at": {"$exists": False}}
_HAS_ATTEMPTS: Document = {"$lt": ["$attempt", "$max_attempts"]}
_IS_FREE: Document = {
    "$or": [
        {"$eq": ["$state", JobState.ACCEPTED.value]},
        {"$and": [{"$eq": ["$state", JobState.RETRY_WAIT.value]}, {"$lte": ["$retry_at", NOW]}]},
        {"$and": [{"$eq": ["$state", JobState.RUNNING.value]}, {"$lte": ["$lease_until", NOW]}]},
    ]
}


def _admission_of(job: Job) -> Document:
    return {"_id": job.id, "created_at": job.created_at, "admission": job.admission}


def _failing(error: ErrorInfo) -> list[Document]:
    return _ending(JobState.FAILED, {"error": literal(error_document(error))}, code=error.code)


def _ending(state: JobState, fields: Document, **facts: str | int) -> list[Document]:
    """The stages that end a job: set state and time, put the event in the outbox, remove lease and wake-ups.

    Args:
        facts: what the event reports beside state and time.
    """
    report = {"state": state.value, "at": NOW, **{name: literal(value) for name, value in facts.items()}}
    end = {"state": state.value, "stage": "", "finished_at": NOW, "event_at": NOW, **fields}
    end["ends"] = {"$concatArrays": [{"$ifNull": ["$ends", []]}, [report]]}
    return [{"$set": end}, {"$unset": ["dispatch_at", "retry_at", *_LEASE_FIELDS]}]
