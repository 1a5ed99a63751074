"""What nobody foresaw is a clear error for whoever asked, and costs no job: the exporter goes on."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis import mongo
from services.chassis.faults import Unavailable
from services.chassis.jetstream import Inbox
from services.exporter.catalogue.column_store import ColumnStore
from services.exporter.export.file_maker import FileMaker
from services.exporter.jobs.store import JobStore, Lease
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import Exporter, eventually, exporter, new_tenant, products, refused


class Failing:
    """Stands in for a method: fails the first `times` calls, then does what the method does."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type, method: str, error: Exception, times: int = 1) -> None:
        self.left = times
        original = getattr(owner, method)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.left > 0:
                self.left -= 1
                raise error
            return await original(*args, **kwargs)

        patch.setattr(owner, method, call)


async def test_a_defect_behind_a_call_is_internal_and_tells_nothing(
    idle: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await idle.fill(tenant, products(1))
    job = await idle.create(tenant)
    Failing(monkeypatch, JobStore, "get", KeyError("secret of the house"), times=2)
    async with refused(grpc.StatusCode.INTERNAL, "internal") as told:
        await idle.get(job)
    assert "secret" not in told.message
    async with refused(grpc.StatusCode.INTERNAL, "internal"):
        await idle.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=5).read()
    assert await idle.get(job) == job


async def test_a_database_that_is_away_is_unavailable_with_a_time_to_come_again(
    idle: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, JobStore, "get", Unavailable("database_unavailable", "The database does not answer."))
    async with refused(grpc.StatusCode.UNAVAILABLE, "database_unavailable") as told:
        await idle.get(pb.Job(tenant="t", id="x"))
    assert told.retry_after == 5.0


async def test_an_export_that_breaks_says_so_and_is_tried_again(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    Failing(monkeypatch, FileMaker, "make", ZeroDivisionError("ouch"))
    job = await running.create(tenant)
    waiting = await running.until(job, pb.JOB_STATE_RETRY_WAIT)
    assert waiting.error.code == "internal_error"
    assert "ouch" not in waiting.error.message
    assert (await running.until(job, pb.JOB_STATE_COMPLETED)).attempt == 2


async def test_an_export_that_always_breaks_fails_after_its_attempts(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    Failing(monkeypatch, FileMaker, "make", ZeroDivisionError("ouch"), times=100)
    async with exporter(clean_uri, nats_url, tmp_path, max_attempts=3, retry_seconds=0.05) as running:
        await running.fill(tenant, products(3))
        failed = await running.until(await running.create(tenant), pb.JOB_STATE_FAILED)
    assert (failed.attempt, failed.error.code) == (3, "internal_error")


async def test_the_worker_goes_on_after_an_error_of_its_inbox(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    failing = Failing(monkeypatch, Inbox, "next", AttributeError("a defect of the client"))

    async def met() -> bool:
        return failing.left == 0

    await eventually("the worker has met it", met)
    await running.completed(tenant)


async def test_columns_that_cannot_be_remembered_cost_no_file(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    failing = Failing(monkeypatch, ColumnStore, "remember", Unavailable("database_unavailable", "Away."))
    assert (await running.completed(tenant)).attempt == 1
    assert failing.left == 0


async def test_a_job_whose_claim_was_on_its_way_when_the_worker_left_is_given_back(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    claiming = asyncio.Event()
    original = JobStore.claim

    async def slow(self: JobStore, job_id: str, owner: str, lease: float) -> Lease | None:
        claiming.set()
        taken = await original(self, job_id, owner, lease)
        await asyncio.sleep(0.3)  # the answer is on its way
        return taken

    monkeypatch.setattr(JobStore, "claim", slow)
    async with exporter(clean_uri, nats_url, tmp_path, lease_seconds=60.0) as running:
        await running.fill(tenant, products(50_000))
        job = await running.create(tenant)
        await asyncio.wait_for(claiming.wait(), 10)
    client = mongo.connect(clean_uri, app="tests")
    left = await client["exporter"]["jobs"].find_one({"_id": job.id})
    client.close()
    assert left is not None
    assert (left["state"], left["attempt"], left["fence"]) == ("accepted", 0, 1)
