"""The platforms of a completed job are decided once, and no completion is missed when events are lost."""

import asyncio
import shutil
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.servers import NatsServer
from services.chassis import mongo
from services.delivery.deliveries.completions import Watermark
from services.delivery.deliveries.fan_out import FanOut, FanOutStore, new_delivery
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.store import PlatformStore
from services.wire import delivery_pb2 as pb
from services.wire import exporter_pb2 as jobs_pb
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.delivering import DeliveryFixture, deliverer
from tests.integration.exporting import eventually, exporter, new_tenant, products
from tests.mongo_traffic import observed

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)


class Fixture:
    """A fan-out with its stores in an empty database."""

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
        page = await self.deliveries.page(job.tenant, job_id=job.id, platform_id="", states=[], after=None, limit=100)
        return {one.platform_id: (one.state.value, one.error.code if one.error else "") for one in page}


@pytest.fixture
async def fixture(database: mongo.Database) -> Fixture:
    made = Fixture(database)
    await made.fan_outs.prepare()
    return made


def completed(platform_ids: Sequence[str] | None = None) -> jobs_pb.Job:
    """A completed job of the tenant acme."""
    platforms = None if platform_ids is None else jobs_pb.PlatformSelection(platform_ids=platform_ids)
    artifact = jobs_pb.Artifact(file_name="p.csv", media_type="text/csv", size_bytes=3, sha256="0" * 64)
    job = jobs_pb.Job(
        id=str(uuid.uuid4()),
        tenant="acme",
        format="csv",
        platforms=platforms,
        state=jobs_pb.JOB_STATE_COMPLETED,
        artifact=artifact,
        schedule_name="Nightly",
    )
    job.created_at.FromDatetime(AT)
    return job


def file_of(job: jobs_pb.Job) -> jobs_pb.JobFile:
    """The job with the location of its file."""
    return jobs_pb.JobFile(job=job, artifact_key="acme/j/1/p.csv")


async def test_a_job_goes_to_every_active_platform_of_its_tenant(fixture: Fixture) -> None:
    first, second = await fixture.platform(), await fixture.platform()
    await fixture.platform(is_active=False)
    await fixture.platform("somebody-else")
    job = completed()
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 2
    assert await fixture.found(job) == {first: ("pending", ""), second: ("pending", "")}
    assert fixture.wakes == 1
    [delivery, _] = await fixture.deliveries.page("acme", job_id=job.id, platform_id="", states=[], after=None, limit=5)
    assert (delivery.file.extension, delivery.file.schedule_name, delivery.file.created_at) == (".csv", "Nightly", AT)
    assert delivery.max_attempts == 7


async def test_a_repeated_completion_creates_no_further_deliveries(fixture: Fixture) -> None:
    first = await fixture.platform()
    job = completed()
    await fixture.fan_out.create_deliveries(file_of(job))
    await fixture.platform()
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 0
    assert set(await fixture.found(job)) == {first}


async def test_a_fan_out_that_was_cut_off_is_finished_at_the_next_completion(fixture: Fixture) -> None:
    first, second = await fixture.platform(), await fixture.platform()
    job = completed()
    # A process died after it had stored the decision and before it stored the deliveries.
    await fixture.fan_outs.settle(job.id, AT, [first, second])
    await fixture.platform()
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 2
    assert set(await fixture.found(job)) == {first, second}


async def test_concurrent_decisions_agree(fixture: Fixture) -> None:
    job = completed()
    settled = await asyncio.gather(*(fixture.fan_outs.settle(job.id, AT, [str(n)]) for n in range(10)))
    assert len({tuple(one.platform_ids) for one in settled}) == 1


async def test_platform_ids_select_the_platforms_of_a_job(fixture: Fixture) -> None:
    chosen = await fixture.platform()
    await fixture.platform()
    job = completed([chosen, chosen])
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 1
    assert await fixture.found(job) == {chosen: ("pending", "")}


async def test_an_empty_list_of_platform_ids_means_no_delivery(fixture: Fixture) -> None:
    await fixture.platform()
    job = completed([])
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 0
    assert await fixture.found(job) == {}
    assert await fixture.fan_outs.is_done(job.id, AT)


async def test_a_named_platform_that_cannot_be_used_is_a_failed_delivery(fixture: Fixture) -> None:
    inactive, other, unknown = (
        await fixture.platform(is_active=False),
        await fixture.platform("other"),
        str(uuid.uuid4()),
    )
    job = completed([inactive, other, unknown])
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 3
    assert await fixture.found(job) == {
        inactive: ("failed", "platform_inactive"),
        other: ("failed", "platform_not_found"),
        unknown: ("failed", "platform_not_found"),
    }


async def test_all_deliveries_of_a_job_are_stored_with_one_write(database: mongo.Database, mongo_uri: str) -> None:
    with observed(mongo_uri, database.name) as (own, traffic):
        fixture = Fixture(own)
        platform_ids = [await fixture.platform(), await fixture.platform(is_active=False)]
        platform_ids += [str(uuid.uuid4()) for _ in range(98)]
        job = completed(platform_ids)
        traffic.reset()
        assert await fixture.fan_out.create_deliveries(file_of(job)) == 100
        assert traffic.commands.total() < 10, traffic.commands
        assert len(await fixture.found(job)) == 100


async def test_jobs_without_platforms_are_settled_together_and_once(database: mongo.Database, mongo_uri: str) -> None:
    with observed(mongo_uri, database.name) as (own, traffic):
        fixture = Fixture(own)
        jobs = [completed([]) for _ in range(20)] + [completed() for _ in range(20)]
        files = [file_of(job) for job in jobs]
        traffic.reset()
        assert await fixture.fan_out.settle_without_platforms(files) == {job.id for job in jobs}
        assert traffic.commands.total() == 2, traffic.commands
        assert await fixture.fan_out.settle_without_platforms(files) == set()
        platform_id = await fixture.platform()
        first, second, late = completed([]), completed(), requested_again(jobs[0])
        found = await fixture.fan_out.settle_without_platforms([file_of(job) for job in (first, second, late)])
        assert found == {first.id}, "of the others, one goes to the platform, and of one there is an older decision"
        assert await fixture.fan_out.create_deliveries(file_of(second)) == 1
        assert await fixture.found(second) == {platform_id: ("pending", "")}


async def test_the_exporter_knows_which_jobs_have_no_deliveries(shop: DeliveryFixture) -> None:
    job = await shop.exporter.completed(shop.tenant)

    async def is_noted() -> bool:
        return (await shop.exporter.get(job)).HasField("has_deliveries")

    await eventually("it is noted", is_noted)
    assert not (await shop.exporter.get(job)).has_deliveries
    await shop.deliverer.deliver(job, await shop.platform())
    assert (await shop.exporter.get(job)).has_deliveries
    await shop.deliverer.delivered(job)
    other = await shop.exporter.completed(shop.tenant)
    await shop.deliverer.delivered(other)
    assert not (await shop.exporter.get(other)).HasField("has_deliveries")


async def test_the_rest_of_a_cut_off_fan_out_is_stored_and_no_delivery_is_restarted(fixture: Fixture) -> None:
    first, second = await fixture.platform(), await fixture.platform()
    job = completed([first])
    await fixture.fan_out.create_deliveries(file_of(job))
    assert await fixture.deliveries.claim(job.tenant, "worker", 30) is not None
    new = [(new_delivery(file_of(job), platform_id, None, 7), None) for platform_id in (first, second)]
    assert await asyncio.gather(*(fixture.deliveries.add_all(new) for _ in range(4))) != [[], [], [], []]
    assert await fixture.found(job) == {first: ("sending", ""), second: ("pending", "")}


def requested_again(job: jobs_pb.Job) -> jobs_pb.Job:
    """Another job with the same id, created a minute later."""
    other = jobs_pb.Job()
    other.CopyFrom(job)
    other.created_at.FromDatetime(AT + timedelta(minutes=1))
    return other


async def test_a_job_that_was_deleted_and_requested_again_is_delivered_again(fixture: Fixture) -> None:
    platform_id = await fixture.platform()
    job = completed()
    again = requested_again(job)
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 1
    assert await fixture.fan_out.create_deliveries(file_of(again)) == 1
    assert await fixture.fan_out.create_deliveries(file_of(again)) == 0
    assert await fixture.fan_out.create_deliveries(file_of(job)) == 0, "the event of the first job is late"
    page = await fixture.deliveries.page("acme", job_id=job.id, platform_id="", states=[], after=None, limit=9)
    assert {one.file.created_at for one in page} == {AT, AT + timedelta(minutes=1)}
    own = await fixture.deliveries.page(
        "acme", job_id=job.id, platform_id="", states=[], after=None, limit=9, job_created_at=AT
    )
    assert [one.file.created_at for one in own] == [AT]
    wanted = new_delivery(file_of(again), platform_id, None, 7)
    assert (await fixture.deliveries.add(wanted)).id == wanted.ids[1]
    assert await fixture.deliveries.restart_for(wanted) is None, "it has not ended"


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_fan_out_of_an_older_version_is_not_repeated(
    fixture: Fixture, database: mongo.Database, is_done: bool
) -> None:
    platform_id = await fixture.platform()
    job = completed()
    await fixture.fan_out.create_deliveries(file_of(job))
    change = {"$unset": {"job_created_at": "", **({} if is_done else {"is_done": ""})}}
    await database["fan_outs"].update_one({"_id": job.id}, change)
    await fixture.fan_out.create_deliveries(file_of(job))
    assert set(await fixture.found(job)) == {platform_id}
    assert await database["deliveries"].count_documents({}) == 1
    assert await fixture.fan_outs.is_done(job.id, AT)
    await database["fan_outs"].update_one({"_id": job.id}, {"$set": {"settled_at": AT}})
    assert await fixture.fan_out.create_deliveries(file_of(requested_again(job))) == 1


async def test_a_job_requested_again_under_its_idempotency_key_is_delivered_with_its_own_file(
    shop: DeliveryFixture,
) -> None:
    platform = await shop.platform({"file_name": "latest", "on_conflict": "overwrite"})

    async def export() -> tuple[jobs_pb.Job, pb.Delivery]:
        job = await shop.exporter.create(shop.tenant, idempotency_key="nightly")
        job = await shop.exporter.until(job, jobs_pb.JOB_STATE_COMPLETED)
        request = {"job_id": job.id, "job_created_at": job.created_at}

        async def delivered() -> pb.Delivery | None:
            found = await shop.deliverer.deliveries(shop.tenant, **request)
            assert len(found) <= 1, found
            return found[0] if found and found[0].state == pb.DELIVERY_STATE_DELIVERED else None

        found: pb.Delivery = await eventually("the job is delivered", delivered)
        assert found.sha256 == job.artifact.sha256
        assert found.job_created_at == job.created_at
        assert shop.rig.files()["latest.csv"] == await shop.file(job)
        return job, found

    first, old = await export()
    await shop.exporter.delete(first)
    await shop.exporter.client[f"catalogue_{shop.tenant}"]["products"].insert_many(
        [{**one, "_id": f"new-{one['_id']}"} for one in products(5)]
    )
    second, new = await export()
    assert first.id == second.id
    assert first.artifact.sha256 != second.artifact.sha256
    manual = await shop.deliverer.deliver(second, platform)
    assert manual.id == new.id != old.id
    assert manual.sha256 == second.artifact.sha256


async def test_an_event_starts_a_delivery_without_polling(
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


async def test_completions_are_polled_when_events_are_lost(
    clean_uri: str, nats_url: str, tmp_path: Path, sftp_server: SftpRig
) -> None:
    sftp_server.clear()
    tenant = new_tenant()
    nowhere = "nats://127.0.0.1:1"  # no event arrives
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


async def test_events_arrive_again_after_nats_has_lost_its_store(
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


async def test_the_watermark_never_moves_back(shop: DeliveryFixture) -> None:
    marks = Watermark(shop.deliverer.database)
    begun = await marks.get()
    later = begun + timedelta(hours=1)
    await marks.advance(later, later)
    await marks.advance(begun + timedelta(minutes=1), later)
    assert await marks.get() == later


async def test_the_watermark_is_not_later_than_any_clock(database: mongo.Database) -> None:
    marks = Watermark(database)
    begun, hour = await marks.get(), timedelta(hours=1)
    # A primary whose clock ran ahead: its completion does not move the watermark past this process's clock.
    await marks.advance(begun + hour, begun + timedelta(seconds=1))
    assert await marks.get() == begun + timedelta(seconds=1)
    # A watermark that an older version moved too far, or a process whose clock ran ahead.
    await database["watermarks"].update_one({}, {"$set": {"at": begun + hour}})
    assert begun <= await marks.begin(begun + 2 * hour) < begun + timedelta(minutes=1)
    assert await marks.begin(begun - hour) == begun - hour, "a clock that is late only repeats queries"


async def test_a_completion_is_found_after_a_primary_whose_clock_ran_ahead(
    clean_uri: str, nats_url: str, tmp_path: Path, sftp_server: SftpRig
) -> None:
    sftp_server.clear()
    tenant = new_tenant()
    nowhere = "nats://127.0.0.1:1"
    async with exporter(clean_uri, nats_url, tmp_path) as made, deliverer(clean_uri, nowhere, made) as started:
        await made.fill(tenant, products(10))
        await started.create(tenant, sftp_server.config())
        ahead = await made.completed(tenant, options={"platform_ids": []})
        await made.jobs.update_one({"_id": ahead.id}, {"$set": {"finished_at": datetime.now(UTC) + timedelta(hours=1)}})
        await started.database["watermarks"].update_one({}, {"$set": {"at": datetime.now(UTC) + timedelta(hours=1)}})
        await started.delivered(await made.completed(tenant))
        [mark] = [m async for m in started.database["watermarks"].find()]
        assert mark["at"] < datetime.now(UTC) + timedelta(minutes=1)


async def test_deliveries_are_listed_in_pages(shop: DeliveryFixture) -> None:
    await shop.platform(is_active=False)
    ids = [str(uuid.uuid4()) for _ in range(5)]
    job = await shop.export({"platform_ids": ids})
    await shop.deliverer.fanned_out(job)
    seen: list[str] = []
    cursor = ""
    while True:
        request = pb.ListDeliveriesRequest(tenant=shop.tenant, page_size=2, page_token=cursor)
        page = await shop.deliverer.stub.ListDeliveries(request, timeout=10)
        seen += [one.platform_id for one in page.deliveries]
        cursor = page.next_page_token
        if not cursor:
            break
    assert len(seen) == 5
    assert set(seen) == set(ids)


async def test_a_platform_is_found_in_any_spelling_of_its_id(shop: DeliveryFixture) -> None:
    platform = await shop.platform()
    job = await shop.export({"platform_ids": [platform.id.upper(), platform.id]})
    delivery = await shop.deliverer.delivered(job)
    assert delivery.platform_id == platform.id
    spelled = pb.Platform(tenant=platform.tenant, id=platform.id.upper())
    assert (await shop.deliverer.deliver(job, spelled)).id == delivery.id
