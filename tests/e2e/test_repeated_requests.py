"""A request that is repeated with its Idempotency-Key creates nothing a second time, and its answer says so."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.destinations.rigs.sftp import SftpRig
from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System, eventually


@pytest.fixture(scope="module")
def rig() -> Iterator[SftpRig]:
    """An SFTP server to deliver to."""
    server = SftpRig()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    """A client of a tenant with a small catalogue."""
    system.fill("repeats", [{"_id": "1", "sku": "A"}])
    return system.client("repeats")


def post(client: Rest, path: str, body: object, key: str) -> Answer:
    return client.call("POST", path, body, headers={"Idempotency-Key": key})


def replayed(answer: Answer) -> bool:
    """Whether the answer says that the request was repeated."""
    return answer.headers.get("idempotent-replayed") == "true"


def same(client: Rest, path: str, body: object, key: str) -> Any:
    """What two equal requests have created together."""
    first, second = post(client, path, body, key), post(client, path, body, key)
    assert first.status == second.status, second
    assert first.json["id"] == second.json["id"]
    assert (replayed(first), replayed(second)) == (False, True)
    return second.json


def test_an_export(shop: Rest) -> None:
    same(shop, "/exports/csv/products", {}, "export")


def test_a_platform_also_after_a_change_and_only_with_the_same_secrets(shop: Rest, rig: SftpRig) -> None:
    body = {"name": "Shop", "platform_type": "sftp", "config": rig.config(), "is_active": False}
    made = same(shop, "/exports/platforms", body, "platform")
    path = f"/exports/platforms/{made['id']}"
    assert shop.call("PATCH", path, {"name": "Other", "config": {"password": "changed"}}).status == 200
    again = post(shop, "/exports/platforms", body, "platform")
    assert (again.status, again.json["id"], again.json["name"], replayed(again)) == (201, made["id"], "Other", True)
    for change in ({"name": "New"}, {"is_active": True}, {"config": {**rig.config(), "password": "guessed"}}):
        answer = post(shop, "/exports/platforms", {**body, **change}, "platform")
        problem(answer, 422, "idempotency_key_reused", words="new key")
    shop.call("DELETE", path)
    assert not replayed(post(shop, "/exports/platforms", body, "platform"))
    shop.call("DELETE", path)


def test_a_schedule_also_after_a_change_and_its_run(shop: Rest, rig: SftpRig) -> None:
    platform = {"name": "Shop", "platform_type": "sftp", "config": rig.config()}
    platform_id = shop.call("POST", "/exports/platforms", platform).json["id"]
    options = {"filters": {"sku": "A"}, "utf8_bom": False}
    body = {
        "platform_id": platform_id,
        "schedule_name": "Yearly",
        "cron_expression": "0 0 1 1 *",
        "options": options,
    }
    made = same(shop, "/exports/schedules", body, "schedule")
    path = f"/exports/schedules/{made['id']}"
    assert shop.call("PATCH", path, {"schedule_name": "Other", "is_active": False}).status == 200
    turned = {**body, "options": dict(reversed(options.items()))}
    assert replayed(post(shop, "/exports/schedules", turned, "schedule")), "the order of keys makes no difference"
    answer = post(shop, "/exports/schedules", {**body, "cron_expression": "0 0 2 1 *"}, "schedule")
    problem(answer, 422, "idempotency_key_reused")
    same(shop, f"{path}/run", None, "run")
    assert len(shop.call("GET", f"{path}/runs").json["items"]) == 1
    shop.call("DELETE", path)
    shop.call("DELETE", f"/exports/platforms/{platform_id}?force=true")


def test_a_delivery_is_not_made_again(shop: Rest, rig: SftpRig) -> None:
    platform = {"name": "Shop", "platform_type": "sftp", "config": rig.config(), "is_active": False}
    platform_id = shop.call("POST", "/exports/platforms", platform).json["id"]
    job, _ = shop.file("csv")
    shop.call("PATCH", f"/exports/platforms/{platform_id}", {"is_active": True})
    path, body = f"/exports/jobs/{job['id']}/deliveries", {"platform_id": platform_id}

    def delivered() -> Any:
        [found] = shop.call("GET", path).json["items"]
        return found if found["status"] == "delivered" else None

    assert not replayed(post(shop, path, body, "once"))
    first = eventually("it is delivered", delivered)
    again = post(shop, path, body, "once")
    assert (again.status, again.json, replayed(again)) == (202, first, True)
    assert post(shop, path, body, "twice").json["status"] == "pending"
    assert not replayed(shop.call("POST", path, body))
    eventually("it is delivered again", delivered)
    shop.call("DELETE", f"/exports/platforms/{platform_id}")


def test_an_export_cannot_name_platforms_that_do_not_exist(shop: Rest, rig: SftpRig) -> None:
    platform = {"name": "Shop", "platform_type": "sftp", "config": rig.config(), "is_active": False}
    inactive = shop.call("POST", "/exports/platforms", platform).json["id"]
    answer = shop.export("csv", {"platform_ids": [inactive, str(uuid.uuid4())]})
    found = problem(answer, 422, "invalid_request", field="platform_ids[0]")
    assert [error["field"] for error in found["errors"]] == ["platform_ids[0]", "platform_ids[1]"]
    assert shop.call("PATCH", f"/exports/platforms/{inactive}", {"is_active": True}).status == 200
    assert shop.export("csv", {"platform_ids": [inactive.upper()]}).status == 202
    shop.call("DELETE", f"/exports/platforms/{inactive}")
