"""Many clients wait at one gateway: a change is read once for all of them, and a missed one is noticed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.servers import free_port
from services.chassis import loops
from services.chassis.rpc.client import channel
from services.exporter.jobs.store import JobStore
from services.gateway.clients import job_changes
from services.gateway.clients.exporter import ExporterClient
from services.gateway.clients.job_changes import JobChanges
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import Exporter, exporter, new_tenant, products
from tests.waiting import DEADLINE

CLIENTS = 2_000


@asynccontextmanager
async def heard(port: int) -> AsyncIterator[JobChanges]:
    """What a gateway hears from the exporter at this port."""
    async with channel(f"127.0.0.1:{port}") as opened:
        changes = JobChanges(opened, ExporterClient(opened, DEADLINE))
        async with loops.running(changes.run()):
            yield changes


async def test_the_end_of_a_job_reaches_all_who_wait_with_one_read(
    idle: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    get = JobStore.get_current

    async def counted(store: JobStore, tenant: str, job_id: str) -> object:
        nonlocal reads
        reads += 1
        return await get(store, tenant, job_id)

    monkeypatch.setattr(JobStore, "get_current", counted)
    monkeypatch.setattr(job_changes, "RECHECK_SECONDS", 10 * DEADLINE)
    tenant = new_tenant()
    await idle.fill(tenant, products(1))
    job = await idle.create(tenant)
    async with heard(idle.running.rpc_port) as changes:
        waiting = [asyncio.create_task(changes.ended(job, 5 * DEADLINE)) for _ in range(CLIENTS)]
        await asyncio.sleep(0)
        while reads == 0:  # they wait, and the job was read for all of them
            await asyncio.sleep(0.01)
        await idle.cancel(job)
        assert {found.state for found in await asyncio.gather(*waiting)} == {pb.JOB_STATE_CANCELLED}
        assert reads <= 10


async def test_a_job_that_ended_while_the_exporter_was_away_is_noticed(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_changes, "RECHECK_SECONDS", 10 * DEADLINE)
    tenant, port = new_tenant(), free_port()
    async with heard(port) as changes:
        async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, grpc_port=port) as first:
            await first.fill(tenant, products(1))
            job = await first.create(tenant)
            waiting = asyncio.create_task(changes.ended(job, 5 * DEADLINE))
        async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0) as elsewhere:
            await elsewhere.cancel(job)
        async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, grpc_port=port):
            assert (await waiting).state == pb.JOB_STATE_CANCELLED


async def test_a_change_that_was_not_heard_of_is_noticed_with_one_call_for_many_jobs(
    idle: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_changes, "RECHECK_SECONDS", 0.2)
    calls: list[int] = []
    whole = JobStore.whole

    async def counted(store: JobStore, job_ids: Sequence[str]) -> object:
        calls.append(len(job_ids))
        return await whole(store, job_ids)

    monkeypatch.setattr(JobStore, "whole", counted)
    tenant = new_tenant()
    await idle.fill(tenant, products(1))
    jobs = [await idle.create(tenant) for _ in range(5)]
    async with heard(idle.running.rpc_port) as changes:
        waiting = [asyncio.create_task(changes.ended(job, 5 * DEADLINE)) for job in jobs]
        while 5 not in calls:
            await asyncio.sleep(0.01)
        ended = {"$set": {"state": "cancelled"}}  # without telling anybody
        await idle.jobs.update_many({"_id": {"$in": [job.id for job in jobs]}}, ended)
        assert {found.state for found in await asyncio.gather(*waiting)} == {pb.JOB_STATE_CANCELLED}
        assert max(calls) == 5
