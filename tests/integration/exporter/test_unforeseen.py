"""Unexpected exceptions become clear errors and lose no job."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis import mongo
from services.chassis.faults import Unavailable
from services.chassis.jetstream import Inbox
from services.chassis.leasing.leased_work import LeasedWork
from services.exporter.catalogue.column_store import ColumnStore
from services.exporter.export.file_maker import FileMaker
from services.exporter.jobs.store import JobStore, Lease
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import DEADLINE, Exporter, eventually, exporter, new_tenant, products, refused


class Failing:
    """Replaces a method: the first `times` calls fail, later calls reach the method."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type, method: str, error: Exception, times: int = 1) -> None:
        self.left = times
        original = getattr(owner, method)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.left > 0:
                self.left -= 1
                raise error
            return await original(*args, **kwargs)

        patch.setattr(owner, method, call)


async def test_an_unexpected_exception_in_a_call_is_internal_and_reveals_nothing(
    idle: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await idle.fill(tenant, products(1))
    job = await idle.create(tenant)
    Failing(monkeypatch, JobStore, "get_current", KeyError("a secret"), times=2)
    async with refused(grpc.StatusCode.INTERNAL, "internal") as problem:
        await idle.get(job)
    assert "secret" not in problem.message
    async with refused(grpc.StatusCode.INTERNAL, "internal"):
        await idle.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE).read()
    assert await idle.get(job) == job


async def test_an_unavailable_database_is_reported_with_a_retry_delay(
    idle: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, JobStore, "get_current", Unavailable("database_unavailable", "The database does not answer."))
    async with refused(grpc.StatusCode.UNAVAILABLE, "database_unavailable") as problem:
        await idle.get(pb.Job(tenant="t", id="x"))
    assert problem.retry_after == 5.0


async def test_an_export_that_crashes_is_an_internal_error_and_is_retried(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    failing = Failing(monkeypatch, FileMaker, "make", ZeroDivisionError("ouch"), times=100)
    job = await running.create(tenant)
    waiting = await running.until(job, pb.JOB_STATE_RETRY_WAIT)
    failing.left = 0  # not before: a job that waits for a moment only may be missed
    assert waiting.error.code == "internal_error"
    assert "ouch" not in waiting.error.message
    assert (await running.until(job, pb.JOB_STATE_COMPLETED)).attempt >= 2


async def test_an_export_that_always_crashes_fails_after_its_attempts(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    Failing(monkeypatch, FileMaker, "make", ZeroDivisionError("ouch"), times=100)
    async with exporter(clean_uri, nats_url, tmp_path, job_max_attempts=3, job_retry_seconds=0.05) as running:
        await running.fill(tenant, products(3))
        failed = await running.until(await running.create(tenant), pb.JOB_STATE_FAILED)
    assert (failed.attempt, failed.error.code) == (3, "internal_error")


async def test_the_worker_continues_after_an_error_of_its_inbox(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    failing = Failing(monkeypatch, Inbox, "next", AttributeError("a defect of the client"))

    async def met() -> bool:
        return failing.left == 0

    await eventually("the worker has met it", met)
    await running.completed(tenant)


async def test_a_file_is_completed_although_its_columns_cannot_be_stored(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    failing = Failing(monkeypatch, ColumnStore, "remember", Unavailable("database_unavailable", "Away."))
    assert (await running.completed(tenant)).attempt == 1
    assert failing.left == 0


async def test_a_job_that_is_claimed_during_a_shutdown_is_given_back(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    claiming, leaving = asyncio.Event(), asyncio.Event()
    original_claim, original_shut_down = JobStore.claim, LeasedWork.shut_down

    async def slow(self: JobStore, tenant: str, owner: str, lease: float, preferred: str = "") -> Lease | None:
        claiming.set()
        taken = await original_claim(self, tenant, owner, lease, preferred)
        await leaving.wait()
        return taken

    async def shut_down(self: LeasedWork[Any, Any, Any]) -> None:
        leaving.set()
        await original_shut_down(self)

    monkeypatch.setattr(JobStore, "claim", slow)
    monkeypatch.setattr(LeasedWork, "shut_down", shut_down)
    async with exporter(clean_uri, nats_url, tmp_path, job_lease_seconds=60.0) as running:
        await running.fill(tenant, products(50_000))
        job = await running.create(tenant)
        await asyncio.wait_for(claiming.wait(), 10)
    client = mongo.connect(clean_uri, app="tests")
    left = await client["exporter"]["jobs"].find_one({"_id": job.id})
    client.close()
    assert left is not None
    assert (left["state"], left["attempt"], left["fence"]) == ("accepted", 0, 1)
