"""A tenant cannot exceed its limits, also not with parallel requests."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis import mongo
from services.chassis.faults import Fault
from services.exporter.errors import TooManyJobs
from services.exporter.jobs.admission import JOBS_PER_COUNT, Admission
from services.exporter.jobs.job import Job, JobState, NewJob
from services.exporter.jobs.store import JobStore
from services.limits import Limits, LimitSettings
from tests.integration.delivering import deliverer
from tests.integration.exporting import Exporter, exporter, new_tenant, products, refused
from tests.mongo_traffic import observed

LIMIT = 10
SFTP = {"host": "sftp.example.com", "username": "u", "password": "p"}


@pytest.fixture
async def store(mongo_uri: str) -> AsyncIterator[JobStore]:
    client = mongo.connect(mongo_uri, app="tests")
    await client.drop_database("limit_tests")
    jobs = JobStore(client["limit_tests"])
    await jobs.prepare()
    yield jobs
    client.close()


@pytest.fixture
async def greedy(mongo_uri: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Exporter]:
    """An exporter without a worker, where a tenant may have few jobs."""
    client = mongo.connect(mongo_uri, app="tests")
    for name in ("exporter", "delivery"):
        await client.drop_database(name)
    client.close()
    async with exporter(mongo_uri, nats_url, tmp_path, worker_jobs=0, max_live_jobs=LIMIT) as running:
        yield running


def admission(store: JobStore, **limits: Any) -> Admission:
    return Admission(store, Limits(LimitSettings(**limits)))


def new(number: int) -> NewJob:
    return NewJob(f"job-{number}", "greedy", "csv", "{}", "hash", max_attempts=3)


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as exc:
        return exc.code().name
    except Fault as fault:
        return fault.code
    return "ok"


async def test_parallel_requests_fill_the_limit_and_never_exceed_it(greedy: Exporter) -> None:
    tenant = new_tenant()
    await greedy.fill(tenant, products(1))
    outcomes = Counter(await asyncio.gather(*(outcome(greedy.create(tenant)) for _ in range(8 * LIMIT))))
    assert set(outcomes) <= {"ok", "RESOURCE_EXHAUSTED"}
    assert await greedy.jobs.count_documents({"tenant": tenant}) == outcomes["ok"]
    assert outcomes["ok"] <= LIMIT
    while await outcome(greedy.create(tenant)) == "ok":  # requests that refused each other may have left room
        outcomes["ok"] += 1
    assert outcomes["ok"] == LIMIT


async def test_with_much_room_many_jobs_are_stored_for_one_count(mongo_uri: str) -> None:
    tenant = new_tenant()
    with observed(mongo_uri, "limit_tests") as (database, traffic):
        admitted = admission(JobStore(database), max_live_jobs=2_000)
        for number in range(2 * JOBS_PER_COUNT):
            await admitted.check(tenant)
            await admitted.accept(replace(new(number), id=f"{tenant}-{number}", tenant=tenant))
        assert 2 <= traffic.commands["aggregate"] < JOBS_PER_COUNT, traffic.commands


async def test_parallel_retries_do_not_exceed_the_limit(greedy: Exporter) -> None:
    tenant = new_tenant()
    await greedy.fill(tenant, products(1))
    jobs = []
    for _ in range(2 * LIMIT):
        jobs.append(await greedy.create(tenant))
        await greedy.cancel(jobs[-1])
    before = {job.id: await greedy.document(job) for job in jobs}
    outcomes = Counter(await asyncio.gather(*(outcome(greedy.retry(job)) for job in jobs)))
    live = {"tenant": tenant, "state": "accepted"}
    assert outcomes["ok"] == await greedy.jobs.count_documents(live) <= LIMIT
    async for document in greedy.jobs.find({"tenant": tenant, "state": "cancelled"}):
        was = before[document["_id"]]
        assert (document["finished_at"], document.get("dispatch_at")) == (was["finished_at"], None)
    for job in jobs:  # requests that refused each other may have left room
        await outcome(greedy.retry(job))
    assert await greedy.jobs.count_documents(live) == LIMIT


async def test_a_repeated_request_gets_the_decision_of_the_first(store: JobStore) -> None:
    first = await store.accept(new(1), admission="token")
    other = admission(store, max_live_jobs=1)
    known = await store.get("greedy", first.id)
    assert known is not None
    waiting = asyncio.create_task(other.settled(known))
    assert await store.withdraw(first)
    with pytest.raises(TooManyJobs):
        await waiting


async def test_a_job_whose_request_died_before_its_decision_stays(store: JobStore) -> None:
    first = await store.accept(new(1), admission="token")
    settled = await admission(store, max_live_jobs=1).settled(first)
    assert (settled.id, settled.admission) == (first.id, "")
    assert not await store.withdraw(first)


async def test_a_withdrawn_job_fences_the_worker_that_has_claimed_it(store: JobStore) -> None:
    first = await store.accept(new(1), admission="token")
    lease = await store.claim(first.tenant, "worker", 30)
    assert lease is not None
    assert await store.withdraw(first)
    assert not await store.give_back(lease)


async def test_stored_bytes_have_a_limit(store: JobStore) -> None:
    files: list[Job] = [await store.accept(new(number)) for number in range(3)]
    for job in files:
        done = {"state": JobState.COMPLETED.value, "artifact": {"size": 400}}
        await store._jobs.update_one({"_id": job.id}, {"$set": done})
    assert await store.artifact_bytes("greedy") == 1_200
    await admission(store, max_artifact_bytes=1_201).check("greedy")
    with pytest.raises(Fault) as refusal:
        await admission(store, max_artifact_bytes=1_200).check("greedy")
    assert refusal.value.code == "too_many_bytes"
    assert "1,200 bytes" in refusal.value.message
    await store._jobs.update_one({"_id": files[0].id}, {"$set": {"state": "expired"}})
    await admission(store, max_artifact_bytes=1_200).check("greedy")


async def test_a_tenant_may_have_limits_of_its_own(
    greedy: Exporter, mongo_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant, other = new_tenant(), new_tenant()
    file = tmp_path / "limits.json"
    file.write_text(json.dumps({tenant: {"max_platforms": 1}}))
    async with deliverer(mongo_uri, nats_url, greedy, limits_file=file, max_platforms=2) as started:
        first = await started.create(tenant, SFTP)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_platforms") as problem:
            await started.create(tenant, SFTP)
        assert "1 platforms" in problem.message
        assert await started.create(tenant, SFTP, platform_id=first.id) == first  # a repeat is no further platform
        for _ in range(2):
            await started.create(other, SFTP)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_platforms"):
            await started.create(other, SFTP)
        await started.delete(first)
        await started.create(tenant, SFTP)
