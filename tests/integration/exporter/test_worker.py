"""The export worker: messages may be lost, late or repeated, jobs run concurrently, errors are stored on the job."""

import asyncio
import csv
import hashlib
import io
import itertools
import threading
import time
import uuid
from pathlib import Path

import grpc
import nats
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerInfo, RetentionPolicy

from deploy.local.servers import Mongod, NatsServer, free_port
from services.exporter import app
from services.exporter.export import worker
from services.exporter.export.attempt import Attempt, Written
from services.exporter.jobs.dispatch import wake_up_of
from services.exporter.jobs.store import JobStore, Lease
from services.wire import events_pb2
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import DEADLINE, Exporter, eventually, exporter, new_tenant, products, refused


async def check(running: Exporter, job: pb.Job, rows: int) -> None:
    """The job's file exists and is complete."""
    [key] = await running.keys(job)
    data = (running.folder / key).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (job.artifact.size_bytes, job.artifact.sha256)
    read = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row["id"] for row in read] == [f"p{n:07}" for n in range(rows)]


async def reading(running: Exporter, job: pb.Job) -> pb.Job:
    """The job once its export is running."""

    async def begun() -> pb.Job | None:
        found = await running.get(job)
        assert found.state in (pb.JOB_STATE_ACCEPTED, pb.JOB_STATE_RUNNING), found
        return found if found.processed_documents > 0 else None

    found: pb.Job = await eventually("documents are being read", begun)
    return found


async def test_a_completed_job_describes_its_file(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(2_500))
    job = await running.completed(tenant)
    assert dict(job.records) == {"products": 2_500}
    assert (job.processed_documents, job.total_documents) == (2_500, 2_500)
    assert (job.stage, job.attempt, await running.fence(job)) == (pb.JOB_STAGE_UNSPECIFIED, 1, 1)
    assert job.artifact.media_type.startswith("text/csv; charset=utf-8")
    times = [job.created_at, job.started_at, job.finished_at, job.expires_at]
    assert [at.ToMilliseconds() for at in times] == sorted(at.ToMilliseconds() for at in times)
    assert running.files() == await running.keys(job)
    await check(running, job, 2_500)


async def consumer(client: Client) -> ConsumerInfo | None:
    """The consumer that all workers share; None before the first worker has created it."""
    try:
        info: ConsumerInfo = await client.jetstream().consumer_info("EXPORTS", "export-workers")
    except nats.js.errors.NotFoundError:
        return None
    return info


async def test_the_consumer_does_not_limit_deliveries_and_has_no_backoff(running: Exporter, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    found = (await eventually("the consumer is there", lambda: consumer(client))).config
    assert found.ack_policy == AckPolicy.EXPLICIT
    assert found.max_deliver == -1
    assert not found.backoff
    assert found.ack_wait == 12.0  # the lease of these tests
    assert (await jetstream.stream_info("EXPORTS")).config.retention == RetentionPolicy.WORK_QUEUE
    await client.close()


async def test_the_consumer_is_updated_when_the_lease_changes(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    client = await nats.connect(nats_url)

    for lease in (7.0, 11.0):
        async with exporter(clean_uri, nats_url, tmp_path, job_lease_seconds=lease):

            async def updated(expected: float = lease) -> bool:
                found = await consumer(client)
                return found is not None and found.config.ack_wait == expected

            await eventually("the consumer has the lease's time", updated)
    await client.close()


async def test_repeated_and_invalid_wake_ups_create_no_second_file(running: Exporter, nats_url: str) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3_000))
    client = await nats.connect(nats_url)
    await eventually("the consumer is there", lambda: consumer(client))
    job = await running.create(tenant)
    for last in [job.id] * 20 + ["no-job", "\ufffe", "$$NOW"]:
        await client.publish(f"exports.jobs.{last}", b"\xff\xfe")
    done = await running.until(job, pb.JOB_STATE_COMPLETED)
    for _ in range(5):
        await client.publish(wake_up_of(job.id), b"")

    async def drained() -> bool:
        info = await consumer(client)
        assert info is not None
        return (info.num_pending, info.num_ack_pending) == (0, 0)

    await eventually("every message is acknowledged", drained)
    assert await running.get(job) == done
    assert (done.attempt, await running.fence(done)) == (1, 1)
    assert running.files() == await running.keys(done)
    await client.close()


async def test_the_end_of_a_job_is_published_once(running: Exporter, nats_url: str) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(10))
    job = await running.completed(tenant)

    async def published() -> bool:
        return "event_at" not in await running.document(job)

    await eventually("the event is published", published)
    client = await nats.connect(nats_url)
    subscription = await client.jetstream().pull_subscribe("exports.events.completed", stream="EXPORT_EVENTS")
    messages = await subscription.fetch(10_000, timeout=5)
    # Other tests publish messages that are not events.
    [ours] = [message.data for message in messages if job.id.encode() in message.data]
    event = events_pb2.ExportFinished.FromString(ours)
    assert event.job_id == job.id
    assert (event.tenant, event.format, event.finished_at) == (tenant, "csv", job.finished_at)
    assert event.state == pb.JOB_STATE_COMPLETED
    await client.close()


@pytest.mark.parametrize("lost", ["consumer", "stream"])
async def test_a_deleted_consumer_or_stream_is_created_again(running: Exporter, nats_url: str, lost: str) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(10))
    await running.completed(tenant)
    client = await nats.connect(nats_url)
    if lost == "stream":
        await client.jetstream().delete_stream("EXPORTS")
    else:
        await client.jetstream().delete_consumer("EXPORTS", "export-workers")
    job = await running.create(tenant)
    await running.until(job, pb.JOB_STATE_COMPLETED, within=20)
    await client.close()


async def test_jobs_accepted_while_nats_is_down_complete_when_it_is_back(clean_uri: str, tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", free_port())
    tenant = new_tenant()
    async with exporter(clean_uri, server.url, tmp_path) as running:
        await running.fill(tenant, products(10))
        jobs = [await running.create(tenant) for _ in range(3)]
        assert await running.is_serving()
        await asyncio.to_thread(server.start)
        try:
            for job in jobs:
                await running.until(job, pb.JOB_STATE_COMPLETED, within=20)
            await asyncio.to_thread(server.kill)
            later = await running.create(tenant)
            await asyncio.to_thread(server.start)
            await running.until(later, pb.JOB_STATE_COMPLETED, within=20)
        finally:
            await asyncio.to_thread(server.stop)


@pytest.mark.full
async def test_concurrent_exports_keep_their_leases_and_do_not_block_the_event_loop(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill_large(tenant, 150_000)
    stalls: list[float] = []

    async def watch_the_loop() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            stalls.append(time.monotonic() - before - 0.01)

    watching = asyncio.create_task(watch_the_loop())
    started = time.monotonic()
    jobs = [await running.create(tenant, form) for form in ("csv", "excel", "json", "zip")]  # as many as slots
    done = [await running.until(job, pb.JOB_STATE_COMPLETED, within=90) for job in jobs]
    took = time.monotonic() - started
    watching.cancel()
    # All ran concurrently, none lost its lease, and no export blocked the event loop until its end.
    spans = [(job.started_at.ToMilliseconds(), job.finished_at.ToMilliseconds()) for job in done]
    assert max(begin for begin, _ in spans) < min(end for _, end in spans)
    assert {(job.attempt, await running.fence(job)) for job in done} == {(1, 1)}
    assert max(stalls) < took / 2, (max(stalls), took)


async def test_no_more_jobs_than_slots_run_concurrently(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=2) as running:
        await running.fill(tenant, products(2_000))
        jobs = [await running.create(tenant) for _ in range(12)]
        done = [await running.until(job, pb.JOB_STATE_COMPLETED) for job in jobs]
    starts = [(job.started_at.ToMilliseconds(), 1) for job in done]
    ends = [(job.finished_at.ToMilliseconds(), -1) for job in done]
    assert max(itertools.accumulate(change for _, change in sorted(starts + ends))) <= 2
    assert {job.attempt for job in done} == {1}


async def test_four_small_exports_share_a_slot(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, together, run = new_tenant(), threading.Barrier(4), Attempt.run

    def once_four_run(attempt: Attempt) -> Written:
        together.wait(DEADLINE)
        return run(attempt)

    monkeypatch.setattr(Attempt, "run", once_four_run)
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=1) as running:
        await running.fill(tenant, products(10))
        jobs = [await running.create(tenant) for _ in range(8)]
        for job in jobs:
            assert (await running.until(job, pb.JOB_STATE_COMPLETED)).attempt == 1


async def test_without_nats_a_backlog_is_worked_off_without_pauses(
    clean_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, nowhere = new_tenant(), f"nats://127.0.0.1:{free_port()}"
    async with exporter(clean_uri, nowhere, tmp_path, worker_jobs=0) as accepting:
        await accepting.fill(tenant, products(10))
        jobs = [await accepting.create(tenant) for _ in range(12)]
    monkeypatch.setattr(worker, "POLL_IDLE", 3_600.0)
    monkeypatch.setattr(worker, "POLL_SECONDS", 3_600.0)  # after the first poll, only its own success leads to others
    async with exporter(clean_uri, nowhere, tmp_path, worker_jobs=1) as running:
        for job in jobs:
            await running.until(job, pb.JOB_STATE_COMPLETED)


async def test_too_many_live_jobs_are_refused_with_a_retry_delay(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, max_live_jobs=2) as running:
        await running.fill(tenant, products(1))
        first = await running.create(tenant, idempotency_key="k")
        chosen = str(uuid.uuid4())
        second = await running.create(tenant, job_id=chosen)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_jobs") as problem:
            await running.create(tenant)
        assert problem.retry_after == 30.0
        assert await running.create(tenant, idempotency_key="k") == first  # a repeat is no further job
        assert await running.create(tenant, job_id=chosen) == second
        await running.cancel(second)
        await running.create(tenant)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_jobs"):
            await running.retry(second)


async def large_tenant(running: Exporter) -> str:
    """A tenant with 400,000 products, whose Excel export takes seconds. All tests share its catalogue."""
    if "products" not in await running.client["catalogue_large"].list_collection_names():
        await running.fill_large("large", 400_000)
    running.watch("large")
    return "large"


async def test_a_cancelled_export_stops_within_seconds(running: Exporter) -> None:
    job = await running.create(await large_tenant(running), "excel")
    await reading(running, job)
    assert running.files() != []
    await running.cancel(job)

    async def cleared() -> bool:
        return running.files() == []

    await eventually("the worker has removed the file", cleared, within=10)
    ended = await running.get(job)
    assert (ended.state, ended.HasField("artifact"), ended.HasField("error")) == (pb.JOB_STATE_CANCELLED, False, False)


async def test_a_worker_that_lost_its_lease_stops_and_does_not_change_the_job(running: Exporter) -> None:
    job = await running.create(await large_tenant(running), "excel")
    await reading(running, job)
    taken_over = {"fence": 7, "lease_owner": "another worker"}
    await running.jobs.update_one({"_id": job.id}, {"$set": taken_over})

    async def cleared() -> bool:
        return running.files() == []

    await eventually("the first worker has removed its file", cleared, within=10)
    found = await running.document(job)
    assert (found["state"], found["fence"], found["lease_owner"]) == ("running", 7, "another worker")
    await running.cancel(job)


async def test_a_job_whose_worker_was_killed_is_taken_over_after_its_lease(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(5))
    job = await running.create(tenant)
    await running.until(job, pb.JOB_STATE_COMPLETED)
    # The state after its worker was killed: running, with a lease that expires soon.
    await running.jobs.update_one(
        {"_id": job.id},
        [
            {
                "$set": {
                    "state": "running",
                    "lease_until": {"$add": ["$$NOW", 1_000]},
                    "dispatch_at": {"$add": ["$$NOW", 1_000]},
                }
            },
            {"$unset": ["artifact", "finished_at", "event_at", "expires_at"]},
        ],
    )
    again = await running.until(job, pb.JOB_STATE_COMPLETED, within=10)
    assert (again.attempt, await running.fence(again)) == (2, 2)


async def test_two_exporters_share_the_jobs(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    owners: set[str] = set()
    claim = JobStore.claim

    async def noted(store: JobStore, of: str, owner: str, lease: float, preferred: str = "") -> Lease | None:
        claimed = await claim(store, of, owner, lease, preferred)
        if claimed is not None:
            owners.add(owner)
        return claimed

    monkeypatch.setattr(JobStore, "claim", noted)
    async with (
        exporter(clean_uri, nats_url, tmp_path, worker_jobs=1) as first,
        exporter(clean_uri, nats_url, tmp_path, worker_jobs=1) as second,
    ):
        await first.fill(tenant, products(8_000))
        jobs = [await (first, second)[n % 2].create(tenant) for n in range(10)]

        async def all_done() -> bool:
            return await first.jobs.count_documents({"tenant": tenant, "state": "completed"}) == len(jobs)

        await eventually("all are completed", all_done, within=60)
        assert len(owners) == 2
        done = [await second.get(job) for job in jobs]
        assert {(job.attempt, await first.fence(job)) for job in done} == {(1, 1)}
        assert first.files() == await first.keys(*done)
        for job in done:
            await check(first, job, 8_000)


@pytest.fixture
def short_catalogue_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter timeout for a catalogue that does not answer."""
    monkeypatch.setattr(app, "CATALOGUE_SELECTION_MS", 500)


@pytest.mark.usefixtures("short_catalogue_timeout")
async def test_an_unavailable_catalogue_is_an_error_of_the_job_and_is_retried(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    catalogue = Mongod(tmp_path / "catalogue", free_port())
    await asyncio.to_thread(catalogue.start)
    tenant = new_tenant()
    try:
        async with (
            exporter(clean_uri, nats_url, tmp_path, catalogue_uri=catalogue.uri, worker_jobs=0) as accepting,
            exporter(catalogue.uri, nats_url, tmp_path / "unused", worker_jobs=0) as filling,
        ):
            await filling.fill(tenant, products(10))
            job = await accepting.create(tenant)
        await asyncio.to_thread(catalogue.stop)
        async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=catalogue.uri) as running:
            waiting = await running.until(job, pb.JOB_STATE_RETRY_WAIT)
            assert waiting.error.code == "catalogue_unavailable"
            assert (waiting.stage, waiting.HasField("finished_at")) == (pb.JOB_STAGE_QUEUED, False)
            async with refused(grpc.StatusCode.UNAVAILABLE, "catalogue_unavailable"):
                await running.create(tenant)
            await asyncio.to_thread(catalogue.start)
            done = await running.until(job, pb.JOB_STATE_COMPLETED, within=40)
            assert done.attempt > 1
            assert not done.HasField("error")
    finally:
        await asyncio.to_thread(catalogue.stop)


@pytest.mark.full
@pytest.mark.usefixtures("short_catalogue_timeout")
async def test_a_job_whose_catalogue_stays_unavailable_fails_after_its_attempts(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    nobody = f"mongodb://127.0.0.1:{free_port()}/"
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, job_max_attempts=2) as accepting:
        await accepting.fill(tenant, products(10))
        job = await accepting.create(tenant)
    async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=nobody) as running:
        failed = await running.until(job, pb.JOB_STATE_FAILED)
    assert (failed.attempt, failed.error.code) == (2, "catalogue_unavailable")
