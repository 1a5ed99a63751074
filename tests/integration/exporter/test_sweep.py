"""Retention and cleaning: what nobody needs goes, what somebody needs stays, also while it is being written."""

import random
import resource
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest

from services.chassis.blobs.contract import BlobStore
from services.chassis.blobs.local import LocalStore
from services.chassis.mongo import Database
from services.exporter.jobs.artifacts import artifact_key, manifest_key, manifest_keys
from services.exporter.jobs.dispatch import TENANT_HEADER, wake_up_of
from services.exporter.jobs.job import Artifact, FinishedFile, Job, NewJob
from services.exporter.jobs.store import JobStore, Lease
from services.exporter.jobs.sweep import Sweeper
from services.exporter.manifests.manifest import Manifest
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import DEADLINE, Exporter, eventually, exporter, new_tenant, products

JOB_ID = "0b7c9c0e-5b1f-4d53-9a53-2f8b3f0a7a11"
YEAR = 365 * 86_400.0
AFTER_THE_TEST = datetime(9999, 1, 1, tzinfo=UTC)
OF_AN_END = {"artifact", "finished_at", "expires_at", "records", "ends", "event_at", "event_owner"}
NEW = NewJob(JOB_ID, "acme", "csv", "{}", "hash", max_attempts=5)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "artifacts")


async def write(blobs: BlobStore, job: Job, *, commit: bool = True) -> str:
    """A file of this job's fence; returns its key as it is listed."""
    key = artifact_key(job, ".csv")
    writer = blobs.writer(key, media_type="text/csv")
    writer.write(b"id\r\n")
    if commit:
        writer.commit()
    return key if commit else f"{key}.part"


async def kept(blobs: BlobStore) -> set[str]:
    keys = blobs.keys()
    return {key async for key in keys}


async def claimed(store: JobStore, lease: float = 60.0) -> Lease:
    taken: Lease = await eventually("the job is to be had", lambda: store.claim(NEW.tenant, "w", lease))
    return taken


async def completed(store: JobStore, lease: Lease, key: str, keep: float = 60.0) -> None:
    assert await store.complete(lease, FinishedFile(Artifact(key, "f", "m", 4, "0"), {}, (), keep))


# The sweep alone


async def test_the_files_of_losers_are_swept_and_the_holders_stays(store: JobStore, blobs: LocalStore) -> None:
    await store.accept(NEW)
    loser = await claimed(store, 0.001)
    lost = {await write(blobs, loser.job), await write(blobs, loser.job, commit=False)}
    winner = await claimed(store)
    writing = await write(blobs, winner.job, commit=False)
    sweeper = Sweeper(store, blobs, history=YEAR)
    await sweeper.round()
    assert await kept(blobs) == {writing}
    assert lost
    done = await write(blobs, winner.job)
    await completed(store, winner, done)
    await sweeper.round()
    assert await kept(blobs) == {done}


async def deleted(store: JobStore) -> None:
    """Delete the job, after its end was reported."""
    await store.events_sent(await store.take_events("tests", 60.0, 10))
    assert await store.delete("acme", JOB_ID) is not None


async def test_what_a_cancelled_or_deleted_job_left_is_swept(store: JobStore, blobs: LocalStore) -> None:
    await store.accept(NEW)
    await write(blobs, (await claimed(store)).job, commit=False)
    await store.cancel("acme", JOB_ID)
    sweeper = Sweeper(store, blobs, history=YEAR)
    await sweeper.round()
    assert await kept(blobs) == set()
    await store.retry("acme", JOB_ID)
    lease = await claimed(store)
    done = await write(blobs, lease.job)
    await completed(store, lease, done)
    await deleted(store)
    await sweeper.round()
    assert await kept(blobs) == set()


async def with_manifest(store: JobStore, blobs: LocalStore, lease: Lease, keep: float) -> set[str]:
    """Complete the job with a file and a manifest; returns the keys of the manifest's blobs."""
    manifest = Manifest(manifest_key(lease.job), 0, 0, "", "", ("id",), keep)
    for key in manifest_keys(manifest):
        writer = blobs.writer(key, media_type="application/octet-stream")
        writer.write(b"")
        writer.commit()
    file = FinishedFile(Artifact(await write(blobs, lease.job), "f", "m", 4, "0"), {}, (), 0.0, manifest=manifest)
    assert await store.complete(lease, file)
    return set(manifest_keys(manifest))


async def test_a_manifest_outlives_its_file_and_goes_when_its_own_time_is_over(
    store: JobStore, blobs: LocalStore
) -> None:
    await store.accept(NEW)
    kept_manifest = await with_manifest(store, blobs, await claimed(store), YEAR)
    sweeper = Sweeper(store, blobs, history=YEAR)
    await sweeper.round()
    assert await kept(blobs) == kept_manifest
    await store._jobs.update_one({"_id": JOB_ID}, {"$set": {"manifest_until": datetime(2020, 1, 1, tzinfo=UTC)}})
    await sweeper.round()
    assert await kept(blobs) == set()
    job = await store.get("acme", JOB_ID)
    assert job is not None
    assert job.manifest is None


async def test_manifests_of_losers_and_of_deleted_jobs_are_swept(store: JobStore, blobs: LocalStore) -> None:
    await store.accept(NEW)
    loser = await claimed(store, 0.001)
    writer = blobs.writer(manifest_key(loser.job) + ".records", media_type="m")
    writer.write(b"")
    writer.commit()
    lease = await claimed(store)
    kept_manifest = await with_manifest(store, blobs, lease, YEAR)
    sweeper = Sweeper(store, blobs, history=YEAR)
    await sweeper.round()
    assert await kept(blobs) == kept_manifest
    await deleted(store)
    await sweeper.round()
    assert await kept(blobs) == set()


async def test_foreign_files_are_left_alone(store: JobStore, blobs: LocalStore) -> None:
    foreign = {"readme.txt", "a/b/1/report.csv", f"acme/{JOB_ID}/1/notes.txt", "backups/2026/01/export-1.csv"}
    for key in foreign:
        writer = blobs.writer(key, media_type="text/plain")
        writer.write(b"mine")
        writer.commit()
    await Sweeper(store, blobs, history=YEAR).round()
    assert await kept(blobs) == foreign


class SlowLooks(JobStore):
    """A store in which something happens between the sweep's look at the jobs and what it does then."""

    def __init__(self, database: Database, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database)
        self._meanwhile = meanwhile

    async def by_ids(self, job_ids: Sequence[str]) -> dict[str, Job]:
        found = await super().by_ids(job_ids)
        await self._meanwhile()
        return found


class StaleLooks(JobStore):
    """A store whose first look misses all jobs, as on a primary that was elected a moment ago."""

    async def by_ids(self, job_ids: Sequence[str]) -> dict[str, Job]:
        return {}


async def test_the_file_of_a_job_that_a_new_primary_does_not_show_yet_is_kept(
    store: JobStore, database: Database, blobs: LocalStore
) -> None:
    await store.accept(NEW)
    lease = await claimed(store)
    done = await write(blobs, lease.job)
    await completed(store, lease, done)
    await Sweeper(StaleLooks(database), blobs, history=YEAR).round()
    assert await kept(blobs) == {done}


async def test_a_job_taken_over_and_completed_after_the_look_keeps_its_file(
    store: JobStore, database: Database, blobs: LocalStore
) -> None:
    await store.accept(NEW)
    await write(blobs, (await claimed(store, 0.001)).job, commit=False)
    made: list[str] = []

    async def meanwhile() -> None:
        lease = await claimed(store)
        made.append(await write(blobs, lease.job))
        await completed(store, lease, made[0])

    await Sweeper(SlowLooks(database, meanwhile), blobs, history=YEAR).round()
    assert made[0] in await kept(blobs)


async def test_a_job_recreated_during_a_sweep_keeps_its_file(
    store: JobStore, database: Database, blobs: LocalStore
) -> None:
    await store.accept(NEW)
    left = await write(blobs, (await claimed(store)).job)
    await store.cancel("acme", JOB_ID)
    await deleted(store)
    made: list[str] = []

    async def meanwhile() -> None:
        await store.accept(NEW)
        lease = await claimed(store)
        made.append(await write(blobs, lease.job))
        await completed(store, lease, made[0])

    await Sweeper(SlowLooks(database, meanwhile), blobs, history=YEAR).round()
    assert await kept(blobs) == set(made)
    assert left not in made


# In a running exporter


async def test_a_file_is_removed_when_its_retention_is_over(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, retention_hours=1 / 3_600, sweep_seconds=0.2) as running:
        await running.fill(tenant, products(3))
        job = await running.completed(tenant)
        assert job.expires_at.ToMilliseconds() - job.finished_at.ToMilliseconds() == 1_000

        async def removed() -> bool:
            return (await running.document(job))["state"] == "expired" and running.files() == []

        await eventually("the file is removed", removed)
        expired = await running.get(job)
        assert (expired.state, dict(expired.records)) == (pb.JOB_STATE_EXPIRED, {"products": 3})


async def test_a_file_whose_time_is_over_counts_as_expired_before_the_sweep(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, retention_hours=0.3 / 3_600, sweep_seconds=3_600) as running:
        await running.fill(tenant, products(3))
        job = await running.until(await running.create(tenant), pb.JOB_STATE_EXPIRED)
        assert (await running.document(job))["state"] == "completed"

        async def listed(*states: pb.JobState.ValueType) -> list[str]:
            request = pb.ListJobsRequest(tenant=tenant, states=states)
            return [found.id for found in (await running.stub.ListJobs(request, timeout=DEADLINE)).jobs]

        assert await listed(pb.JOB_STATE_EXPIRED) == [job.id]
        assert await listed(pb.JOB_STATE_COMPLETED) == []
        assert await listed(pb.JOB_STATE_FAILED, pb.JOB_STATE_EXPIRED) == [job.id]


async def test_ended_jobs_are_forgotten_when_their_history_is_over(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant = new_tenant()
    settings = {"job_history_days": 0.5 / 86_400, "sweep_seconds": 0.2}
    async with exporter(clean_uri, nats_url, tmp_path, **settings) as running:
        await running.fill(tenant, products(3))
        done = await running.completed(tenant)
        # Running elsewhere, so that it is not completed before it is cancelled.
        elsewhere = {"state": "running", "fence": 1, "attempt": 1, "lease_until": AFTER_THE_TEST}
        document = {name: value for name, value in (await running.document(done)).items() if name not in OF_AN_END}
        job = pb.Job(tenant=tenant, id=str(uuid.uuid4()))
        await running.jobs.insert_one({**document, **elsewhere, "_id": job.id})
        await running.cancel(job)

        async def forgotten() -> bool:
            return await running.jobs.find_one({"_id": job.id, "state": "cancelled"}) is None

        await eventually("the cancelled job is forgotten", forgotten)
        assert (await running.get(done)).state == pb.JOB_STATE_COMPLETED


@pytest.mark.full
async def test_continuous_sweeps_remove_no_file_in_use(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    tenant, chance = new_tenant(), random.Random(7)
    client = await nats.connect(nats_url)
    async with exporter(clean_uri, nats_url, tmp_path, sweep_seconds=0.001) as running:
        await running.fill(tenant, products(20_000))
        jobs = [await running.create(tenant, idempotency_key=f"k{n}") for n in range(20)]
        past = {"$set": {"lease_until": jobs[0].created_at.ToDatetime()}}
        rounds, taken_over = 0, False

        async def one_more() -> bool:
            """One round; whether there were 100, and a job was taken over, which a worker's heartbeat may prevent."""
            nonlocal rounds, taken_over
            ours = {"tenant": tenant}
            if found := await running.jobs.find_one_and_update({**ours, "state": "running", "attempt": 1}, past):
                # It is taken over while its worker goes on, as after a pause longer than the lease.
                await client.publish(wake_up_of(f"{found['_id']}-again"), b"", headers={TENANT_HEADER: tenant})
            # Looked for in every round: jobs are also deleted.
            taken_over = taken_over or await running.jobs.find_one({**ours, "taken_over": True}) is not None
            number = chance.randrange(len(jobs))
            job = jobs[number]
            if (await running.get(job)).state == pb.JOB_STATE_COMPLETED and chance.random() < 0.3:
                await running.delete(job)
                jobs[number] = await running.create(tenant, idempotency_key=f"k{number}")
            rounds += 1
            return rounds >= 100 and taken_over

        await eventually("a job is taken over", one_more)
        done = [await running.until(job, pb.JOB_STATE_COMPLETED) for job in jobs]
        expected = await running.keys(*done)

        async def only_those() -> bool:
            return running.files() == expected

        await eventually("every job has its file, and nothing else is left", only_those)
    await client.close()


async def test_a_full_store_is_an_error_on_the_job_until_there_is_space(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(2_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a file of ours can grow no further, as on a full disk
    try:
        job = await running.create(tenant)
        waiting = await running.until(job, pb.JOB_STATE_RETRY_WAIT)
        assert waiting.error.code == "artifact_store_full"
        assert running.files() == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = await running.until(job, pb.JOB_STATE_COMPLETED)
    assert done.attempt >= 2
    assert running.files() == await running.keys(done)
    assert not done.HasField("error")
