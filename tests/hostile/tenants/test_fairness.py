"""One tenant's backlog does not make the others wait, and a lost wake-up does not delay a job."""

import asyncio
from pathlib import Path

import nats

from services.chassis.jetstream import connecting
from services.exporter.jobs.dispatch import EXPORTS
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import Exporter, exporter, new_tenant, products
from tests.waiting import eventually_async as eventually

SLOTS = 2


async def finished(running: Exporter, tenant: str) -> int:
    return await running.jobs.count_documents({"tenant": tenant, "state": "completed"})


async def test_a_small_export_does_not_wait_behind_another_tenants_backlog(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    greedy, small = new_tenant(), new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=SLOTS) as running:
        await running.fill(greedy, products(20_000))
        await running.fill(small, products(100))
        await asyncio.gather(*(running.create(greedy) for _ in range(100)))
        before = await finished(running, greedy)
        await running.until(await running.create(small), pb.JOB_STATE_COMPLETED)
        # First come, first served would finish all of them first.
        assert await finished(running, greedy) - before < 25
        await asyncio.gather(*(running.cancel(job) for job in await waiting(running, greedy)))


async def waiting(running: Exporter, tenant: str) -> list[pb.Job]:
    found = running.jobs.find({"tenant": tenant, "state": "accepted"})
    return [pb.Job(tenant=tenant, id=document["_id"]) async for document in found]


async def test_tenants_with_backlogs_share_the_slots(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    first, second = new_tenant(), new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0) as accepting:
        for tenant in (first, second):
            await accepting.fill(tenant, products(2_000))
            await asyncio.gather(*(accepting.create(tenant) for _ in range(20)))
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=SLOTS) as running:

        async def is_half_done() -> bool:
            return await finished(running, first) + await finished(running, second) >= 20

        await eventually("half of all jobs are completed", is_half_done)
        assert await finished(running, first) < 20
        assert await finished(running, second) < 20


async def test_a_wake_up_that_a_dead_worker_took_along_does_not_delay_the_job(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant = new_tenant()
    waits = {"job_lease_seconds": 300.0, "dispatch_seconds": 300.0}
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, **waits) as accepting:
        await accepting.fill(tenant, products(10))
        job = await accepting.create(tenant)
        async with connecting(nats_url, name="dead-worker") as jetstream:
            await eventually("it is connected", lambda: is_connected(jetstream))
            subscription = await jetstream.subscription(EXPORTS, "export-workers", 300.0)
            await eventually("it has the message", lambda: took(subscription, job))
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=1, **waits) as running:
        await running.until(job, pb.JOB_STATE_COMPLETED)


async def is_connected(jetstream: object) -> bool:
    return bool(getattr(jetstream, "is_connected", False))


async def took(subscription: nats.js.JetStreamContext.PullSubscription, job: pb.Job) -> bool:
    """Whether the job's message was fetched; it is never acknowledged."""
    messages = await subscription.fetch(10, timeout=1)
    return any(message.data.decode() == job.id for message in messages)
