"""Platforms over gRPC: registered once, changed by compare-and-set, tested step by step."""

import asyncio
import json
import uuid
from typing import Any

import asyncssh
import grpc
import pytest

from deploy.local.servers import free_port
from services.chassis import mongo
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Sealed
from services.delivery.platforms.store import PlatformStore
from services.wire import delivery_pb2 as pb
from tests.integration.delivering import DeliveryFixture
from tests.integration.delivery.test_fan_out import AT
from tests.integration.exporting import refused

STEPS = ["resolve", "connect", "authenticate", "write", "read", "delete"]


async def test_registering_twice_with_the_same_id_creates_one_platform(shop: DeliveryFixture) -> None:
    chosen = str(uuid.uuid4())
    made = await asyncio.gather(*(shop.platform(platform_id=chosen) for _ in range(5)))
    assert {(one.id, one.created_at.ToNanoseconds()) for one in made} == {(chosen, made[0].created_at.ToNanoseconds())}
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "platform_id_reused"):
        await shop.platform(platform_id=chosen, name="Another")
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "platform_id_reused"):
        await shop.deliverer.create("somebody-else", shop.rig.config(), platform_id=chosen)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as problem:
        await shop.platform(platform_id="nonsense")
    assert list(problem.fields) == ["platform_id"]


async def test_a_platform_is_active_by_default(shop: DeliveryFixture) -> None:
    assert (await shop.platform()).is_active
    assert not (await shop.platform(is_active=False)).is_active


async def test_a_secret_is_stored_encrypted_and_shown_masked(shop: DeliveryFixture) -> None:
    made = await shop.platform()
    assert json.loads(made.config_json) == {**shop.rig.config(), "password": "********"}
    stored = await shop.deliverer.database["platforms"].find_one({"_id": made.id})
    assert stored is not None
    assert "password" not in stored["config"]
    assert set(stored["secrets"]) == {"password"}


async def test_concurrent_changes_are_all_kept(shop: DeliveryFixture) -> None:
    made = await shop.platform(is_active=False)
    await asyncio.gather(
        shop.deliverer.change(made, {"path": "new"}),
        shop.deliverer.change(made, {"username": "other"}),
        shop.deliverer.change(made, name="Renamed"),
        shop.deliverer.change(made, is_active=True),
    )
    found = await shop.deliverer.get(made)
    config = json.loads(found.config_json)
    assert (config["path"], config["username"], found.name, found.is_active) == ("new", "other", "Renamed", True)


async def test_a_config_that_is_not_a_json_object_is_refused(shop: DeliveryFixture) -> None:
    for text in ("{", "[]", '{"host": "\\ud800"}'):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as problem:
            await shop.deliverer.create(shop.tenant, text)
        assert list(problem.fields) == ["config"]


async def test_types_are_listed_with_their_schemas(shop: DeliveryFixture) -> None:
    found = await shop.deliverer.stub.ListPlatformTypes(pb.ListPlatformTypesRequest(), timeout=10)
    schemas = {one.name: json.loads(one.config_schema_json) for one in found.types}
    assert {"s3", "minio", "sftp", "ftp", "gdrive"} <= set(schemas)
    for schema in schemas.values():
        assert schema["additionalProperties"] is False
        assert {"file_name", "on_conflict"} <= set(schema["properties"])


async def test_lists_refuse_invalid_cursors_and_states(shop: DeliveryFixture) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as problem:
        await shop.deliverer.stub.ListPlatforms(pb.ListPlatformsRequest(tenant=shop.tenant, page_token="x"), timeout=10)
    assert list(problem.fields) == ["page_token"]
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as problem:
        await shop.deliverer.deliveries(shop.tenant, states=[pb.DELIVERY_STATE_UNSPECIFIED])
    assert list(problem.fields) == ["states"]


async def test_a_successful_test_passes_every_step_and_leaves_nothing(shop: DeliveryFixture) -> None:
    made = await shop.platform()
    found = await shop.deliverer.test(made)
    assert found.ok
    assert [(step.name, step.ok) for step in found.steps] == [(step, True) for step in STEPS]
    assert shop.rig.files() == {}
    assert shop.rig.leftovers() == []


async def test_concurrent_tests_do_not_interfere(shop: DeliveryFixture) -> None:
    made = await shop.platform()
    found = await asyncio.gather(*(shop.deliverer.test(made) for _ in range(4)))
    assert all(one.ok for one in found)
    assert shop.rig.leftovers() == []


@pytest.mark.parametrize(
    ("step", "code", "config"),
    [
        ("resolve", "unresolved", {"host": "no-such-host.invalid"}),
        ("resolve", "egress_forbidden", {"host": "169.254.169.254"}),
        ("connect", "unreachable", {"port": free_port()}),
        ("connect", "host_key_changed", {"host_key": "SHA256:" + "A" * 43}),
        ("authenticate", "wrong_credentials", {"password": "battery staple"}),
        ("write", "no_space", {}),
        ("read", "permission_denied", {"verify": "size"}),
        ("delete", "permission_denied", {}),
    ],
)
async def test_a_test_names_the_step_that_failed(
    shop: DeliveryFixture, step: str, code: str, config: dict[str, Any]
) -> None:
    made = await shop.platform(config, is_active=False)
    shop.rig.full = step == "write"
    shop.rig.denied = asyncssh.FXF_READ if step == "read" else 0
    shop.rig.removes = step != "delete"
    found = await shop.deliverer.test(made)
    assert not found.ok
    passed = STEPS[: STEPS.index(step)]
    assert [(one.name, one.ok) for one in found.steps] == [*((name, True) for name in passed), (step, False)]
    assert found.steps[-1].error.code == code
    assert found.steps[-1].error.message
    shop.rig.unfill()
    if step != "delete":
        assert shop.rig.leftovers() == []


async def test_a_pin_is_replaced_only_if_the_current_value_is_known(database: mongo.Database) -> None:
    store = PlatformStore(database)
    sealed = {"password": Sealed(1, b"k", b"t")}
    old = await store.add(Platform("p1", "acme", "Shop", "sftp", {"host": "h"}, sealed, True, AT, AT))
    assert await store.pin("p1", "key", "a", known=None) == "a"
    assert await store.pin("p1", "key", "b", known=None) == "a"
    assert await store.change(old, old) is None, "it was read before the pin was stored"
    now = await store.get("acme", "p1")
    assert now is not None
    assert (now.pins, now.secrets) == ({"key": "a"}, sealed)
    changed = await store.change(now, now)
    assert changed is not None
    assert changed.pins == {"key": "a"}
    assert await store.pin("p1", "key", "b", known="a") == "b"
    assert await store.pin("gone", "key", "c", known=None) == "c"


@pytest.mark.parametrize("sent", [{}, {"password": "********"}], ids=["left out", "masked"])
async def test_a_stored_secret_does_not_follow_its_platform_to_another_server(
    shop: DeliveryFixture, sent: dict[str, Any]
) -> None:
    made = await shop.platform({"host_key": None}, is_active=False)
    await shop.deliverer.test(made)
    for change in (
        {"host": "127.0.0.2"},
        {"port": free_port()},
        {"host_key": "SHA256:" + "A" * 43},
        {"host_key": None},
    ):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as problem:
            await shop.deliverer.change(made, {**change, **sent})
        assert list(problem.fields) == ["config.password"]
        assert next(iter(change)) in problem.fields["config.password"]
    assert (await shop.deliverer.get(made)).config_json == made.config_json
    assert (await shop.deliverer.test(made)).ok


async def test_a_platform_moves_with_its_secret_and_forgets_the_old_host_key(shop: DeliveryFixture) -> None:
    made = await shop.platform({"host_key": None}, is_active=False)
    await shop.deliverer.test(made)
    stored = await shop.deliverer.database["platforms"].find_one({"_id": made.id})
    assert stored is not None
    assert stored["pins"]
    password = shop.rig.config()["password"]
    await shop.deliverer.change(made, {"host": "localhost", "password": password})
    stored = await shop.deliverer.database["platforms"].find_one({"_id": made.id})
    assert stored is not None
    assert stored["pins"] == {}
    assert (await shop.deliverer.test(made)).ok
