"""Which platforms a completed job goes to, settled once, and that no completion is missed, whatever is lost."""

import asyncio
import json
import shutil
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.servers import NatsServer
from services.chassis import mongo
from services.delivery.deliveries.completions import Watermark
from services.delivery.deliveries.fan_out import FanOut, FanOutStore
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.store import PlatformStore
from services.wire import delivery_pb2 as pb
from services.wire import exporter_pb2 as jobs_pb
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.delivering import Shop, deliverer
from tests.integration.exporting import exporter, new_tenant, products

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)


class Market:
    """Stores in a database of their own, and a fan-out over them."""

    def __init__(self, database: mongo.Database) -> None:
        self.platforms = PlatformStore(database)
        self.deliveries = DeliveryStore(database)
        self.fan_outs = FanOutStore(database)
        self.wakes = 0
        self.fan_out = FanOut(self.fan_outs, self.platforms, self.deliveries, max_attempts=7, wake=self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    async def platform(self, tenant: str = "acme", *, is_active: bool = True) -> str:
        made = Platform(str(uuid.uuid4()), tenant, "Shop", "sftp", {}, {}, is_active, AT, AT)
        return (await self.platforms.add(made)).id

    async def found(self, job: jobs_pb.Job) -> dict[str, tuple[str, str]]:
        """State and error code of the job's deliveries by platform."""
        page = await self.deliveries.page(job.tenant, job_id=job.id, platform_id="", states=[], before=None, limit=100)
        return {one.platform_id: (one.state.value, one.error.code if one.error else "") for one in page}


@pytest.fixture
async def market(database: mongo.Database) -> Market:
    made = Market(database)
    await made.fan_outs.prepare()
    return made


def completed(platform_ids: Sequence[str] | None = None) -> jobs_pb.Job:
    """A completed job of the tenant acme."""
    options = {} if platform_ids is None else {"platform_ids": list(platform_ids)}
    artifact = jobs_pb.Artifact(key="acme/j/1/p.csv", file_name="p.csv", media_type="text/csv", size=3, sha256="0" * 64)
    job = jobs_pb.Job(
        id=str(uuid.uuid4()),
        tenant="acme",
        format="csv",
        options_json=json.dumps(options),
        state=jobs_pb.JOB_STATE_COMPLETED,
        artifact=artifact,
        schedule_name="Nightly",
    )
    job.created_at.FromDatetime(AT)
    return job


async def test_a_job_goes_to_every_active_platform_of_its_tenant(market: Market) -> None:
    first, second = await market.platform(), await market.platform()
    await market.platform(is_active=False)
    await market.platform("somebody-else")
    job = completed()
    assert await market.fan_out.of(job) == 2
    assert await market.found(job) == {first: ("pending", ""), second: ("pending", "")}
    assert market.wakes == 1
    [delivery, _] = await market.deliveries.page("acme", job_id=job.id, platform_id="", states=[], before=None, limit=5)
    assert (delivery.file.extension, delivery.file.schedule_name, delivery.file.created_at) == (".csv", "Nightly", AT)
    assert delivery.max_attempts == 7


async def test_a_completion_that_is_heard_of_again_makes_nothing_more(market: Market) -> None:
    first = await market.platform()
    job = completed()
    await market.fan_out.of(job)
    await market.platform()
    assert await market.fan_out.of(job) == 0
    assert set(await market.found(job)) == {first}


async def test_what_was_settled_is_finished_by_whoever_hears_of_it_next(market: Market) -> None:
    first, second = await market.platform(), await market.platform()
    job = completed()
    # A process died after it had settled and before it had stored the deliveries.
    await market.fan_outs.settle(job.id, [first, second])
    await market.platform()
    assert await market.fan_out.of(job) == 2
    assert set(await market.found(job)) == {first, second}


async def test_two_that_settle_at_once_agree(market: Market) -> None:
    job = completed()
    settled = await asyncio.gather(*(market.fan_outs.settle(job.id, [str(n)]) for n in range(10)))
    assert len({tuple(one) for one in settled}) == 1


async def test_platform_ids_narrow_where_a_job_goes(market: Market) -> None:
    chosen = await market.platform()
    await market.platform()
    job = completed([chosen, chosen])
    assert await market.fan_out.of(job) == 1
    assert await market.found(job) == {chosen: ("pending", "")}


async def test_no_platform_ids_at_all_mean_none(market: Market) -> None:
    await market.platform()
    job = completed([])
    assert await market.fan_out.of(job) == 0
    assert await market.found(job) == {}
    assert await market.fan_outs.is_done(job.id)


async def test_a_named_platform_that_is_unknown_inactive_or_anothers_is_a_failed_delivery(market: Market) -> None:
    inactive, other, unknown = await market.platform(is_active=False), await market.platform("other"), str(uuid.uuid4())
    job = completed([inactive, other, unknown])
    assert await market.fan_out.of(job) == 3
    assert await market.found(job) == {
        inactive: ("failed", "platform_inactive"),
        other: ("failed", "platform_not_found"),
        unknown: ("failed", "platform_not_found"),
    }


async def test_events_bring_deliveries_at_once(
    clean_uri: str, nats_url: str, tmp_path: Path, sftp_server: SftpRig
) -> None:
    sftp_server.clear()
    tenant = new_tenant()
    async with (
        exporter(clean_uri, nats_url, tmp_path) as made,
        deliverer(clean_uri, nats_url, made, reconcile_seconds=3_600) as started,
    ):
        await made.fill(tenant, products(10))
        await started.create(tenant, sftp_server.config())
        job = await made.completed(tenant)
        await started.delivered(job, within=10)


async def test_completions_are_asked_for_where_events_are_lost(
    clean_uri: str, nats_url: str, tmp_path: Path, sftp_server: SftpRig
) -> None:
    sftp_server.clear()
    tenant = new_tenant()
    nowhere = "nats://127.0.0.1:1"
    async with exporter(clean_uri, nats_url, tmp_path) as made:
        await made.fill(tenant, products(10))
        async with deliverer(clean_uri, nowhere, made) as first:
            await first.create(tenant, sftp_server.config())
        jobs = [await made.completed(tenant) for _ in range(3)]
        async with deliverer(clean_uri, nowhere, made) as second:
            for job in jobs:
                await second.delivered(job)
            assert len(await second.deliveries(tenant)) == 3
            [mark] = [m async for m in second.database["watermarks"].find()]
            assert mark["at"] == jobs[-1].finished_at.ToDatetime(UTC).replace(tzinfo=UTC)


async def test_events_come_again_after_the_server_has_lost_its_store(
    clean_uri: str, tmp_path: Path, sftp_server: SftpRig
) -> None:
    sftp_server.clear()
    tenant = new_tenant()
    server = NatsServer(tmp_path / "nats")
    server.start()
    try:
        async with (
            exporter(clean_uri, server.url, tmp_path) as made,
            deliverer(clean_uri, server.url, made, reconcile_seconds=3_600) as started,
        ):
            await made.fill(tenant, products(10))
            await started.create(tenant, sftp_server.config())
            await started.delivered(await made.completed(tenant))
            server.kill()
            shutil.rmtree(tmp_path / "nats")
            server.start()
            await started.delivered(await made.completed(tenant), within=60)
    finally:
        server.stop()


async def test_the_watermark_never_goes_back(shop: Shop) -> None:
    marks = Watermark(shop.deliverer.database)
    begun = await marks.get()
    await marks.raise_to(begun + timedelta(hours=1))
    await marks.raise_to(begun + timedelta(minutes=1))
    assert await marks.get() == begun + timedelta(hours=1)


async def test_deliveries_are_listed_page_by_page_newest_first(shop: Shop) -> None:
    await shop.platform(is_active=False)
    ids = [str(uuid.uuid4()) for _ in range(5)]
    job = await shop.export({"platform_ids": ids})
    await shop.deliverer.fanned_out(job)
    seen: list[str] = []
    cursor = ""
    while True:
        request = pb.ListDeliveriesRequest(tenant=shop.tenant, limit=2, cursor=cursor)
        page = await shop.deliverer.stub.ListDeliveries(request, timeout=10)
        seen += [one.platform_id for one in page.deliveries]
        cursor = page.next_cursor
        if not cursor:
            break
    assert len(seen) == 5
    assert set(seen) == set(ids)
