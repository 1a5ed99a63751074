"""Platforms that a greedy tenant registers: keys that are slow to decrypt, and servers that do not answer tests."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import grpc

from services.delivery.platforms.secrets import Owner, vault_of
from tests.integration.delivering import DeliveryFixture, master_keys
from tests.integration.exporting import eventually, refused

PASSPHRASE = "open sesame"


@asynccontextmanager
async def responsive(seconds: float) -> AsyncIterator[None]:
    """The event loop, which is also the service's, never computes for so long without a pause."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.thread_time() - began)

    watching = asyncio.create_task(watch())
    yield
    watching.cancel()
    assert longest < seconds


def with_key(shop: DeliveryFixture, rounds: int) -> dict[str, Any]:
    """A config with an encrypted private key that the server accepts."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    shop.rig.keys.add(key.get_fingerprint())
    text = key.export_private_key(passphrase=PASSPHRASE, rounds=rounds, ignore_few_rounds=True).decode()
    config = {name: value for name, value in shop.rig.config().items() if name != "password"}
    return {**config, "private_key": text, "passphrase": PASSPHRASE}


async def test_a_private_key_is_decrypted_once_and_not_on_the_event_loop(shop: DeliveryFixture) -> None:
    config = with_key(shop, 64)
    async with responsive(0.5):
        made = await shop.deliverer.create(shop.tenant, config, is_active=False)
        assert (await shop.deliverer.test(made)).ok
    shown = {name: value for name, value in config.items() if name != "passphrase"}
    assert json.loads(made.config_json) == {**shown, "private_key": "********"}
    stored = await shop.deliverer.database["platforms"].find_one({"_id": made.id})
    assert stored is not None
    assert set(stored["secrets"]) == {"private_key"}


async def test_a_key_that_takes_longer_to_decrypt_is_refused(shop: DeliveryFixture) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as problem:
        await shop.deliverer.create(shop.tenant, with_key(shop, 65))
    assert "more than 64 rounds" in problem.fields["config.private_key"]


async def test_a_key_that_an_older_version_stored_encrypted_still_works(shop: DeliveryFixture) -> None:
    config = with_key(shop, 100)
    made = await shop.platform(is_active=False)
    vault = vault_of(master_keys(1))
    sealed = {}
    for name in ("private_key", "passphrase"):
        one = vault.seal(config[name], Owner(shop.tenant, made.id, name))
        sealed[name] = {"version": one.version, "key": one.key, "text": one.text}
    await shop.deliverer.database["platforms"].update_one({"_id": made.id}, {"$set": {"secrets": sealed}})
    async with responsive(0.5):
        found = await asyncio.gather(*(shop.deliverer.test(made) for _ in range(3)))
    assert all(one.ok for one in found), found


async def test_a_tenant_runs_only_a_few_tests_at_a_time(shop: DeliveryFixture) -> None:
    connections = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        tarpit = await shop.platform({"port": port}, is_active=False)
        waiting = [asyncio.create_task(shop.deliverer.test(tarpit)) for _ in range(4)]

        async def all_connected() -> bool:
            return connections == 4

        await eventually("four tests are running", all_connected)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_tests"):
            await shop.deliverer.test(tarpit)
        other = await shop.deliverer.create(f"{shop.tenant}-other", shop.rig.config(), is_active=False)
        assert (await shop.deliverer.test(other)).ok
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def is_free() -> bool:
        try:
            return (await shop.deliverer.test(await shop.platform(is_active=False))).ok
        except grpc.aio.AioRpcError:
            return False

    await eventually("a test is possible again", is_free)
