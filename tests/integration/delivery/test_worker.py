"""From a completed export to a file at a real SFTP server: retries, leases, policies, receipts."""

import hashlib
import time
from datetime import UTC, datetime
from itertools import pairwise

import grpc
import pytest

from services.wire import delivery_pb2 as pb
from services.wire import exporter_pb2 as jobs_pb
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.delivering import DeliveryFixture, OpenShop, deliverer
from tests.integration.exporting import eventually, refused
from tests.tcp_proxy import TcpProxy

MANY = 8_000
"""Products whose file takes several requests to send."""
MIDDLE = 200_000
"""Bytes sent, including the login, when an upload is in the middle."""


async def test_a_completed_export_is_delivered_with_a_receipt(shop: DeliveryFixture) -> None:
    platform = await shop.platform()
    job = await shop.export()
    done = await shop.deliverer.delivered(job)
    file = await shop.file(job)
    assert shop.rig.files() == {job.artifact.file_name: file}
    assert shop.rig.leftovers() == []
    assert (done.platform_id, done.platform_name, done.platform_type) == (platform.id, "Shop", "sftp")
    assert (done.file_name, done.size_bytes, done.sent_bytes) == (job.artifact.file_name, len(file), len(file))
    assert done.sha256 == done.receipt.sha256 == hashlib.sha256(file).hexdigest()
    assert done.receipt.remote == f"exports/catalogue/{job.artifact.file_name}"
    assert done.receipt.size_bytes == len(file)
    assert "modified" in done.receipt.reported
    seconds = done.receipt.duration.ToNanoseconds() / 1_000_000_000
    assert seconds > 0
    assert done.receipt.bytes_per_second == pytest.approx(len(file) / seconds)
    assert not done.receipt.already_present
    assert done.attempt == 1
    [attempt] = done.attempts
    assert not attempt.HasField("error")
    started, ended = attempt.started_at.ToDatetime(UTC), attempt.ended_at.ToDatetime(UTC)
    assert done.created_at.ToDatetime(UTC) <= started < ended == done.delivered_at.ToDatetime(UTC)
    assert not done.HasField("error")
    assert not done.HasField("next_attempt_at")


async def test_a_transient_error_is_retried_with_growing_delays_until_it_succeeds(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        await shop.platform({"port": proxy.port})
        proxy.refuse()
        job = await shop.export()

        async def tried() -> bool:
            found = await shop.deliverer.deliveries(shop.tenant)
            return bool(found) and len(found[0].attempts) >= 4

        await eventually("four attempts have failed", tried)
        proxy.heal()
        done = await shop.deliverer.delivered(job)
    attempts = list(done.attempts)
    assert [a.error.code for a in attempts] == ["unreachable"] * (len(attempts) - 1) + [""]
    assert {a.error.step for a in attempts[:-1]} == {"connect"}
    times = [(a.started_at.ToDatetime(UTC), a.ended_at.ToDatetime(UTC)) for a in attempts]
    waits = [(later[0] - earlier[1]).total_seconds() for earlier, later in pairwise(times)]
    # From 0.2 s, doubling, of which jitter takes at most half: 0.1 s at least, then 0.2, then 0.4.
    assert all(wait >= 0.1 * 2**n for n, wait in enumerate(waits[:3])), waits
    assert done.attempt == len(attempts)
    assert not done.HasField("error")


async def test_a_waiting_delivery_shows_its_error_and_next_attempt(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        await shop.platform({"port": proxy.port})
        proxy.refuse()
        job = await shop.export()
        waiting = await shop.deliverer.until(job, pb.DELIVERY_STATE_RETRY_WAIT)
        assert waiting.error.code == "unreachable"
        assert waiting.next_attempt_at.ToDatetime(UTC) > waiting.attempts[-1].ended_at.ToDatetime(UTC)
        proxy.heal()
        await shop.deliverer.delivered(job)


async def test_a_wrong_password_fails_without_retries_and_a_retry_succeeds_after_it_was_corrected(
    shop: DeliveryFixture,
) -> None:
    platform = await shop.platform({"password": "battery staple"})
    job = await shop.export()
    failed = await shop.deliverer.failed(job)
    assert (failed.error.code, failed.attempt, len(failed.attempts)) == ("wrong_credentials", 1, 1)
    assert failed.attempts[0].error.step == "authenticate"
    assert "battery staple" not in str(failed)
    await shop.deliverer.change(platform, {"password": shop.rig.config()["password"]})
    again = await shop.deliverer.retry(failed)
    assert (again.attempt, len(again.attempts)) == (0, 0)
    done = await shop.deliverer.delivered(job)
    assert done.attempt == 1
    assert shop.rig.files()[done.file_name] == await shop.file(job)


async def test_a_changed_host_key_is_a_permanent_error(shop: DeliveryFixture) -> None:
    await shop.platform({"host_key": "SHA256:" + "A" * 43})
    failed = await shop.deliverer.failed(await shop.export())
    assert (failed.error.code, failed.attempt) == ("host_key_changed", 1)
    assert shop.rig.files() == {}


async def test_the_first_host_key_is_kept_until_host_key_itself_is_changed(shop: DeliveryFixture) -> None:
    config = shop.rig.config()
    del config["host_key"]
    platform = await shop.deliverer.create(shop.tenant, config)
    await shop.deliverer.delivered(await shop.export())
    await shop.deliverer.change(platform, {**config, "password": "********"}, name="Other")
    stored = await shop.deliverer.database["platforms"].find_one({"_id": platform.id})
    assert stored is not None
    assert len(stored["pins"]) == 1
    await shop.deliverer.change(platform, {"host_key": None, "password": config["password"]})
    stored = await shop.deliverer.database["platforms"].find_one({"_id": platform.id})
    assert stored is not None
    assert stored["pins"] == {}


async def test_the_last_attempt_leaves_no_part(open_shop: OpenShop) -> None:
    async with open_shop(delivery_max_attempts=3, delivery_retry_seconds=0.05) as shop:
        shop.rig.fill()
        await shop.platform()
        failed = await shop.deliverer.failed(await shop.export())
    assert failed.attempt == failed.max_attempts == 3
    assert [a.error.code for a in failed.attempts] == ["no_space"] * 3
    assert failed.error.code == "no_space"
    assert shop.rig.leftovers() == []


async def test_only_a_failed_delivery_can_be_retried(shop: DeliveryFixture) -> None:
    await shop.platform()
    done = await shop.deliverer.delivered(await shop.export())
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "delivery_not_failed"):
        await shop.deliverer.retry(done)
    async with refused(grpc.StatusCode.NOT_FOUND, "delivery_not_found"):
        await shop.deliverer.retry(pb.Delivery(id=done.id, tenant="somebody-else"))


async def test_delivering_again_sends_only_a_missing_file(shop: DeliveryFixture) -> None:
    platform = await shop.platform({"on_conflict": "rename"})
    job = await shop.export()
    done = await shop.deliverer.delivered(job)
    again = await shop.deliverer.deliver(job, platform)
    assert again.id == done.id
    assert again.state in (pb.DELIVERY_STATE_PENDING, pb.DELIVERY_STATE_SENDING, pb.DELIVERY_STATE_VERIFYING)
    there = await shop.deliverer.delivered(job)
    assert there.receipt.already_present
    assert there.receipt.sha256 == done.sha256
    (shop.rig.folder / done.file_name).unlink()
    await shop.deliverer.deliver(job, platform)
    sent = await shop.deliverer.delivered(job)
    assert not sent.receipt.already_present
    assert shop.rig.files() == {done.file_name: await shop.file(job)}


async def test_a_job_can_be_delivered_to_another_platform_later(shop: DeliveryFixture) -> None:
    job = await shop.export({"platform_ids": []})
    await shop.deliverer.fanned_out(job)
    platform = await shop.platform({"path": "elsewhere"})
    made = await shop.deliverer.deliver(job, platform)
    assert made.state == pb.DELIVERY_STATE_PENDING
    done = await shop.deliverer.delivered(job)
    assert (shop.rig.root / done.receipt.remote).read_bytes() == await shop.file(job)
    async with refused(grpc.StatusCode.NOT_FOUND, "platform_not_found"):
        await shop.deliverer.deliver(job, pb.Platform(id="7d5e1a0e-0000-4000-8000-000000000000"))
    job.id = "7d5e1a0e-0000-4000-8000-000000000000"
    async with refused(grpc.StatusCode.NOT_FOUND, "job_not_found"):
        await shop.deliverer.deliver(job, platform)


async def test_delivering_again_does_not_change_a_live_delivery(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        platform = await shop.platform({"port": proxy.port})
        proxy.refuse()
        job = await shop.export()
        waiting = await shop.deliverer.until(job, pb.DELIVERY_STATE_RETRY_WAIT)
        asked = await shop.deliverer.deliver(job, platform)
        assert asked.state in (pb.DELIVERY_STATE_RETRY_WAIT, pb.DELIVERY_STATE_SENDING)
        assert (asked.id, asked.attempt >= 1) == (waiting.id, True)
        proxy.heal()
        await shop.deliverer.delivered(job)


TAKEN = b"another file"


@pytest.mark.parametrize("policy", ["overwrite", "rename", "skip", "fail"])
async def test_an_existing_file_is_handled_according_to_on_conflict(shop: DeliveryFixture, policy: str) -> None:
    platform = await shop.platform({"on_conflict": policy, "file_name": "feed"})
    shop.rig.folder.mkdir(parents=True)
    (shop.rig.folder / "feed.csv").write_bytes(TAKEN)
    job = await shop.export()
    if policy == "fail":
        failed = await shop.deliverer.failed(job)
        assert failed.error.code == "name_taken"
        assert shop.rig.files() == {"feed.csv": TAKEN}
        (shop.rig.folder / "feed.csv").unlink()
        await shop.deliverer.retry(failed)
        await shop.deliverer.delivered(job)
        assert shop.rig.files() == {"feed.csv": await shop.file(job)}
        return
    done = await shop.deliverer.delivered(job)
    expected = {
        "overwrite": {"feed.csv": await shop.file(job)},
        "rename": {"feed.csv": TAKEN, "feed (1).csv": await shop.file(job)},
        "skip": {"feed.csv": TAKEN},
    }[policy]
    assert shop.rig.files() == expected
    assert done.receipt.already_present == (policy == "skip")
    assert done.receipt.sha256 == ("" if policy == "skip" else done.sha256)
    if policy == "rename":
        assert done.file_name == "feed (1).csv"
        second = await shop.export()
        assert (await shop.deliverer.delivered(second)).file_name == "feed (2).csv"
        await shop.deliverer.deliver(job, platform)
        assert (await shop.deliverer.delivered(job)).receipt.already_present
        assert len(shop.rig.files()) == 3


async def test_the_next_attempt_uses_a_changed_file_name_template(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        platform = await shop.platform({"port": proxy.port, "file_name": "a_{format}_{job}"})
        shop.rig.fill()
        job = await shop.export()
        stopped = await shop.deliverer.until(job, pb.DELIVERY_STATE_RETRY_WAIT)
        assert stopped.file_name == f"a_csv_{job.id}.csv"
        await shop.deliverer.change(platform, {"file_name": "b_{date}"})
        shop.rig.unfill()
        done = await shop.deliverer.delivered(job)
    day = job.created_at.ToDatetime(UTC).strftime("%Y-%m-%d")
    assert set(shop.rig.files()) == {f"b_{day}.csv"} == {done.file_name}
    assert shop.rig.leftovers() == []


async def test_a_file_removed_by_retention_is_a_permanent_error(shop: DeliveryFixture) -> None:
    platform = await shop.platform(is_active=False)
    job = await shop.export({"platform_ids": []})
    await shop.deliverer.fanned_out(job)
    await shop.deliverer.change(platform, is_active=True)
    [key] = await shop.exporter.keys(job)
    (shop.exporter.folder / key).unlink()
    await shop.deliverer.deliver(job, platform)
    failed = await shop.deliverer.failed(job)
    assert (failed.error.code, failed.attempt) == ("file_expired", 1)
    assert shop.rig.leftovers() == []


async def test_deleting_a_platform_fails_its_waiting_deliveries(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        platform = await shop.platform({"port": proxy.port})
        proxy.refuse()
        job = await shop.export()
        await shop.deliverer.until(job, pb.DELIVERY_STATE_RETRY_WAIT)
        await shop.deliverer.delete(platform)
        failed = await shop.deliverer.failed(job)
    assert failed.error.code == "platform_deleted"
    async with refused(grpc.StatusCode.NOT_FOUND, "platform_not_found"):
        await shop.deliverer.get(platform)


async def test_deleting_a_platform_does_not_stop_a_running_upload(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        platform = await shop.platform({"port": proxy.port})
        proxy.stall_after(6_000)
        job = await shop.export()
        await shop.deliverer.until(job, pb.DELIVERY_STATE_SENDING)
        await shop.deliverer.delete(platform)
        proxy.heal()
        done = await shop.deliverer.delivered(job)
    assert shop.rig.files() == {done.file_name: await shop.file(job)}


async def test_deactivating_a_platform_fails_its_waiting_deliveries(shop: DeliveryFixture) -> None:
    with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
        platform = await shop.platform({"port": proxy.port})
        proxy.refuse()
        job = await shop.export()
        await shop.deliverer.until(job, pb.DELIVERY_STATE_RETRY_WAIT)
        await shop.deliverer.change(platform, is_active=False)
        failed = await shop.deliverer.failed(job)
        assert failed.error.code == "platform_inactive"
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "platform_inactive"):
            await shop.deliverer.deliver(job, platform)


async def test_an_unreadable_secret_fails_and_names_the_missing_master_key(shop: DeliveryFixture) -> None:
    platform = await shop.platform()
    where, path = {"_id": platform.id}, "secrets.password.version"
    await shop.deliverer.database["platforms"].update_one(where, {"$set": {path: 9}})
    job = await shop.export()
    failed = await shop.deliverer.failed(job)
    assert failed.error.code == "secret_unreadable"
    assert "master key 9" in failed.error.message
    steps = (await shop.deliverer.test(platform)).steps
    assert [(s.name, s.ok, s.error.code) for s in steps] == [("authenticate", False, "secret_unreadable")]
    await shop.deliverer.change(platform, {"password": shop.rig.config()["password"]})
    await shop.deliverer.retry(failed)
    await shop.deliverer.delivered(job)


@pytest.mark.full
async def test_an_upload_stops_when_its_lease_is_lost(open_shop: OpenShop, sftp_server: SftpRig) -> None:
    async with open_shop(rows=MANY) as shop:
        with TcpProxy("127.0.0.1", sftp_server.port) as proxy:
            await shop.platform({"port": proxy.port})
            proxy.stall_after(MIDDLE)
            job = await shop.export()
            sending = await shop.deliverer.until(job, pb.DELIVERY_STATE_SENDING)
            await eventually("the upload is in the middle", lambda: _answer(proxy.up > MIDDLE / 2))
            assert await shop.deliverer.metric("delivery_running") == 1
            # Another process claims it and sends no heartbeat.
            await shop.deliverer.database["deliveries"].update_one({"_id": sending.id}, {"$inc": {"fence": 1}})

            async def has_ended() -> bool:
                return await shop.deliverer.metric("delivery_running") == 0

            await eventually("the upload has ended", has_ended, within=2.5)
            proxy.heal()
            done = await shop.deliverer.delivered(job)
        assert (await shop.deliverer.document(done))["fence"] == 3
        assert [a.error.code for a in done.attempts] == ["interrupted", ""]
        assert shop.rig.files() == {done.file_name: await shop.file(job)}


async def test_an_upload_that_was_overtaken_leaves_no_part(open_shop: OpenShop, sftp_server: SftpRig) -> None:
    async with open_shop(rows=MANY) as shop:
        with TcpProxy("127.0.0.1", sftp_server.port) as proxy:
            await shop.platform({"port": proxy.port})
            proxy.stall_after(MIDDLE)
            job = await shop.export()
            sending = await shop.deliverer.until(job, pb.DELIVERY_STATE_SENDING)
            await eventually("the upload is in the middle", lambda: _answer(sftp_server.leftovers()))
            # Another process claims and delivers it, and its part is gone before this upload's part appears.
            overtaken = {"$inc": {"fence": 1}, "$set": {"state": "delivered"}, "$unset": {"due_at": "", "notes": ""}}
            await shop.deliverer.database["deliveries"].update_one({"_id": sending.id}, overtaken)
            proxy.heal()
            await eventually("the part is removed", lambda: _answer(not sftp_server.leftovers()))


async def _answer(value: object) -> object:
    return value


async def test_a_service_that_shuts_down_gives_its_delivery_back(
    open_shop: OpenShop, clean_uri: str, nats_url: str, sftp_server: SftpRig
) -> None:
    with TcpProxy("127.0.0.1", sftp_server.port) as proxy:
        async with open_shop(rows=MANY, delivery_lease_seconds=60) as shop:
            await shop.platform({"port": proxy.port})
            proxy.stall_after(MIDDLE)
            job = await shop.export()
            sending = await shop.deliverer.until(job, pb.DELIVERY_STATE_SENDING)
            await eventually("the upload is in the middle", lambda: _answer(proxy.up > MIDDLE / 2))
            database = shop.exporter.client["delivery"]
            started = time.monotonic()
        assert time.monotonic() - started < 30  # half of the lease
        left = await database["deliveries"].find_one({"_id": sending.id})
        assert left is not None
        assert (left["state"], left["attempt"], left["fence"]) == ("pending", 0, 1)
        assert "lease_owner" not in left
        proxy.heal()
        async with deliverer(clean_uri, nats_url, shop.exporter) as other:
            done = await other.delivered(job, within=10)
    assert (done.attempt, len(done.attempts)) == (1, 1)
    assert sftp_server.files() == {done.file_name: await shop.file(job)}


async def test_a_delivery_whose_process_died_in_every_attempt_fails(open_shop: OpenShop) -> None:
    async with open_shop(delivery_max_attempts=2) as shop:
        platform = await shop.platform(is_active=False)
        job = await shop.export({"platform_ids": [platform.id]})
        failed = await shop.deliverer.failed(job)
        await shop.deliverer.change(platform, is_active=True)
        # The state after two processes were killed during their attempts.
        left = {
            "state": "sending",
            "attempt": 2,
            "fence": 2,
            "due_at": datetime.now(UTC),
            "started_at": datetime.now(UTC),
        }
        await shop.deliverer.database["deliveries"].update_one({"_id": failed.id}, {"$set": left})

        async def given_up() -> bool:
            return bool((await shop.deliverer.document(failed))["error"]["code"] == "attempts_exhausted")

        await eventually("the delivery is given up", given_up)
        assert (await shop.deliverer.failed(job)).attempts[-1].error.code == "attempts_exhausted"


@pytest.mark.full
async def test_two_services_make_no_delivery_twice(open_shop: OpenShop, clean_uri: str, nats_url: str) -> None:
    async with open_shop(platform_slots=4) as shop, deliverer(clean_uri, nats_url, shop.exporter, platform_slots=4):
        await shop.platform({"on_conflict": "fail", "file_name": "{job}"})
        jobs = [await shop.exporter.create(shop.tenant) for _ in range(30)]
        finished = [await shop.exporter.until(job, jobs_pb.JOB_STATE_COMPLETED) for job in jobs]
        done = [await shop.deliverer.delivered(job, within=60) for job in finished]
        documents = [await shop.deliverer.document(delivery) for delivery in done]
    assert len(shop.rig.files()) == 30
    assert {document["fence"] for document in documents} == {1}
    assert not any(delivery.receipt.already_present for delivery in done)


async def test_one_platform_uses_at_most_its_slots(open_shop: OpenShop) -> None:
    async with open_shop(platform_slots=2, delivery_slots=8) as shop:
        with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
            await shop.platform({"port": proxy.port})
            free = await shop.platform({"path": "free"})
            proxy.stall_after(0)
            for _ in range(4):
                await shop.export()

            async def at_the_other() -> bool:
                states = pb.DELIVERY_STATE_DELIVERED
                return len(await shop.deliverer.deliveries(shop.tenant, platform_id=free.id, states=[states])) == 4

            await eventually("the other platform has every file", at_the_other)
            sending = await shop.deliverer.deliveries(shop.tenant, states=[pb.DELIVERY_STATE_SENDING])
            assert len(sending) == 2
            assert await shop.deliverer.metric("delivery_running") == 2
            proxy.heal()


async def test_a_service_without_slots_still_answers(open_shop: OpenShop) -> None:
    async with open_shop(delivery_slots=0) as shop:
        await shop.platform()
        job = await shop.export()
        await shop.deliverer.fanned_out(job)
        [waiting] = await shop.deliverer.deliveries(shop.tenant)
        assert (waiting.state, waiting.attempt) == (pb.DELIVERY_STATE_PENDING, 0)
        assert (await shop.deliverer.document(waiting))["fence"] == 0
