"""The command that rotates master keys: afterwards the old key is not needed, and lost secrets are reported."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC

import pytest

from services.delivery.deliveries.attempt_state import packed
from services.delivery.deliveries.delivery import delivery_ids
from services.delivery.platforms.secrets import Owner, Vault, parse_master_keys
from services.wire import delivery_pb2 as pb
from tests.integration.delivering import OpenShop, master_keys
from tests.system import ROOT
from tests.tcp_proxy import TcpProxy


async def rotate(mongo_uri: str, keys: str) -> tuple[int, str]:
    """Run the command: its exit code and what it says."""
    env = {**os.environ, "MONGODB_URI": mongo_uri, "MASTER_KEYS": keys}
    command = [sys.executable, "-m", "services.delivery.rotate"]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


async def test_after_a_rotation_the_old_key_is_not_needed(open_shop: OpenShop, clean_uri: str) -> None:
    async with open_shop() as shop:
        platform = await shop.platform()
        [before] = [p async for p in shop.deliverer.database["platforms"].find()]
    code, said = await rotate(clean_uri, master_keys(2, 1))
    assert (code, said.strip()) == (0, "1 platforms, 0 webhooks and 0 notes of deliveries now use key 2.")
    assert (await rotate(clean_uri, master_keys(2, 1)))[1].startswith("0 platforms")
    async with open_shop(master_keys=master_keys(2)) as shop:
        [after] = [p async for p in shop.deliverer.database["platforms"].find()]
        assert after["secrets"]["password"]["text"] == before["secrets"]["password"]["text"]
        assert (await shop.deliverer.test(platform)).ok


async def test_platforms_whose_key_is_lost_are_named(open_shop: OpenShop, clean_uri: str) -> None:
    async with open_shop() as shop:
        lost = await shop.platform()
    async with open_shop(master_keys=master_keys(2, 1)) as shop:
        await shop.platform()
    code, said = await rotate(clean_uri, master_keys(3, 2))
    assert code == 1
    assert "1 platforms" in said
    assert f"cannot decrypt secrets of {lost.id}." in said
    assert (await rotate(clean_uri, master_keys(3, 2, 1)))[0] == 0


async def test_notes_of_unfinished_uploads_are_rotated(open_shop: OpenShop, clean_uri: str) -> None:
    async with open_shop() as shop:
        with TcpProxy("127.0.0.1", shop.rig.port) as proxy:
            platform = await shop.platform({"port": proxy.port})
            proxy.refuse()
            job = await shop.export()
            waiting = await shop.deliverer.until(job, pb.DELIVERY_STATE_RETRY_WAIT)
        owner = Owner(shop.tenant, delivery_ids(job.id, job.created_at.ToDatetime(UTC), platform.id)[0], "notes.url")
        note = packed(Vault(*parse_master_keys(master_keys(1))).seal("https://upload", owner))
        deliveries = shop.exporter.client["delivery"]["deliveries"]
        await deliveries.update_one({"_id": waiting.id}, {"$set": {"notes": {"url": note}}})
    assert "1 platforms, 0 webhooks and 1 notes" in (await rotate(clean_uri, master_keys(2, 1)))[1]
    found = await deliveries.find_one({"_id": waiting.id})
    assert found is not None
    assert found["notes"]["url"].startswith("[2, ")


@pytest.mark.full
async def test_an_invalid_setting_and_an_unavailable_database_are_reported(clean_uri: str) -> None:
    code, said = await rotate(clean_uri, "1:secretsecret")
    assert code == 2
    assert "MASTER_KEYS" in said
    assert "secretsecret" not in said
    code, said = await rotate("mongodb://127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=200", master_keys(1))
    assert code == 1
    assert "database does not answer" in said
