"""Platforms and deliveries over REST: one export delivered to all five types, and the requests that are rejected."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract.destinations.rigs import Rig
from tests.contract.destinations.rigs.ftp import FtpRig
from tests.contract.destinations.rigs.gdrive import DriveRig
from tests.contract.destinations.rigs.minio import MinioRig
from tests.contract.destinations.rigs.s3 import S3Rig
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually

PRODUCTS = [{"_id": n, "sku": f"S-{n}", "name": "Hoodie, ümläut 🎉", "price": n / 4} for n in range(200)]
STEPS = ["resolve", "connect", "authenticate", "write", "read", "delete"]


@pytest.fixture(scope="module")
def rigs() -> Iterator[dict[str, Rig]]:
    """A server of each type."""
    made: dict[str, Rig] = {
        "s3": S3Rig(),
        "minio": MinioRig(),
        "sftp": SftpRig(),
        "ftp": FtpRig("explicit"),
        "gdrive": DriveRig("service"),
    }
    for rig in made.values():
        rig.start()
        rig.clear()
    yield made
    for rig in made.values():
        rig.stop()


@pytest.fixture
def shop(system: System) -> Rest:
    """A client of a tenant with a small catalogue."""
    tenant = f"shop-{uuid.uuid4().hex[:8]}"
    system.fill(tenant, [dict(product) for product in PRODUCTS])
    return system.client(tenant)


def register(client: Rest, kind: str, config: dict[str, Any], **more: Any) -> Any:
    """Register a platform."""
    body = {"name": f"Our {kind}", "platform_type": kind, "config": config, **more}
    answer = client.call("POST", "/exports/platforms", body)
    assert answer.status == 201, answer
    return answer.json


def deliveries(client: Rest, job_id: str) -> list[Any]:
    answer = client.call("GET", f"/exports/jobs/{job_id}/deliveries")
    assert answer.status == 200, answer
    return list(answer.json["items"])


def ended(client: Rest, job_id: str, count: int) -> list[Any]:
    """The job's deliveries, once `count` of them have ended."""

    def all_ended() -> list[Any] | None:
        found = deliveries(client, job_id)
        return found if sum(one["status"] in ("delivered", "failed") for one in found) == count else None

    found: list[Any] = eventually(f"{count} deliveries have ended", all_ended, within=60)
    return found


def test_one_export_is_delivered_to_five_platforms_with_the_same_bytes_as_the_download(
    shop: Rest, rigs: dict[str, Rig]
) -> None:
    platforms = {register(shop, kind, rig.config())["id"]: kind for kind, rig in rigs.items()}
    job, file = shop.file("csv")
    found = ended(shop, job["id"], 5)
    assert {one["platform_id"]: one["platform_type"] for one in found} == platforms
    for one in found:
        kind = one["platform_type"]
        assert one["status"] == "delivered", one
        assert rigs[kind].files()[job["file_name"]] == file
        assert rigs[kind].leftovers() == []
        assert one["receipt"]["size"] == one["size"] == one["bytes_sent"] == len(file)
        assert one["receipt"]["sha256"] == one["sha256"] == job["sha256"]
        assert one["receipt"]["remote"]
        assert one["receipt"]["bytes_per_second"] > 0
        assert [attempt.get("error") for attempt in one["attempts"]] == [None]
        assert datetime.fromisoformat(one["delivered_at"]) <= datetime.now(UTC)
    shown = shop.job(job["id"])["deliveries"]
    assert {(one["platform_type"], one["status"]) for one in shown} == {(kind, "delivered") for kind in rigs}


def test_every_platform_passes_its_test(shop: Rest, rigs: dict[str, Rig]) -> None:
    for kind, rig in rigs.items():
        made = register(shop, kind, rig.config(), is_active=False)
        answer = shop.call("POST", f"/exports/platforms/{made['id']}/test", timeout=60)
        assert answer.status == 200, answer
        assert [(step["step"], step["ok"]) for step in answer.json["steps"]] == [(step, True) for step in STEPS], kind
        assert answer.json["ok"] is True
        assert "failed_step" not in answer.json
        wrong = register(shop, kind, rig.wrong_credentials(), is_active=False)
        answer = shop.call("POST", f"/exports/platforms/{wrong['id']}/test", timeout=60)
        assert answer.json["ok"] is False
        assert answer.json["failed_step"] == "authenticate", (kind, answer.json)
        assert answer.json["steps"][-1]["code"]


def test_a_platform_is_registered_shown_changed_and_deleted(shop: Rest, rigs: dict[str, Rig]) -> None:
    config = rigs["sftp"].config()
    made = register(shop, "sftp", config, is_active=False)
    assert set(made) == {"id", "name", "platform_type", "is_active", "created_at"}
    assert (made["name"], made["platform_type"], made["is_active"]) == ("Our sftp", "sftp", False)
    path = f"/exports/platforms/{made['id']}"
    seen = shop.call("GET", path).json
    assert seen["config"] == {**config, "password": "********"}
    assert {name: seen[name] for name in made} == made
    changed = shop.call("PATCH", path, {"name": "New", "config": {"path": "b", "password": "********", "verify": None}})
    assert changed.status == 200, changed
    assert changed.json["config"] == {**config, "path": "b", "password": "********"}
    assert (changed.json["name"], changed.json["is_active"]) == ("New", False)
    assert shop.call("POST", f"{path}/test", timeout=60).json["ok"], "the masked password is still the right one"
    assert [one["id"] for one in shop.call("GET", "/exports/platforms").json["items"]] == [made["id"]]
    assert shop.call("DELETE", path).status == 204
    problem(shop.call("GET", path), 404, "platform_not_found")
    problem(shop.call("DELETE", path), 404, "platform_not_found")


def test_platforms_are_listed_in_pages_newest_first(shop: Rest, rigs: dict[str, Rig]) -> None:
    ids = [register(shop, "ftp", rigs["ftp"].config(), is_active=False)["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = shop.call("GET", f"/exports/platforms?limit=2&cursor={cursor}").json
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]
    problem(shop.call("GET", "/exports/platforms?cursor=nonsense"), 422, "invalid_request", "cursor")
    problem(shop.call("GET", "/exports/platforms?limit=0"), 422, "invalid_query", "limit")


def test_a_file_is_delivered_again_and_to_another_platform(shop: Rest, rigs: dict[str, Rig]) -> None:
    first = register(shop, "sftp", rigs["sftp"].config(), is_active=True)
    job, file = shop.file("csv", {"file_name": "again_{job}"})
    [done] = ended(shop, job["id"], 1)
    rigs["sftp"].clear()
    path = f"/exports/jobs/{job['id']}/deliveries"
    again = shop.call("POST", path, {"platform_id": first["id"].upper()})
    assert again.status == 202, again
    assert again.json["id"] == done["id"]
    eventually("it is there again", lambda: rigs["sftp"].files().get(job["file_name"]) == file)
    second = register(shop, "s3", rigs["s3"].config())
    assert shop.call("POST", path, {"platform_id": second["id"]}).status == 202
    assert {one["status"] for one in ended(shop, job["id"], 2)} == {"delivered"}
    assert rigs["s3"].files()[job["file_name"]] == file


def test_platform_ids_restrict_an_export(shop: Rest, rigs: dict[str, Rig]) -> None:
    chosen = register(shop, "sftp", rigs["sftp"].config())["id"]
    register(shop, "ftp", rigs["ftp"].config())
    job, _ = shop.file("csv", {"platform_ids": [chosen]})
    [found] = ended(shop, job["id"], 1)
    assert (found["platform_id"], found["status"]) == (chosen, "delivered")
    nowhere, _ = shop.file("csv", {"platform_ids": []})
    assert deliveries(shop, nowhere["id"]) == []


SFTP = {"host": "sftp.example.com", "username": "shop", "password": "pa"}
BAD_CONFIGS: list[tuple[str, dict[str, Any], str]] = [
    ("sftp", {**SFTP, "hots": "x"}, "config.hots"),
    ("sftp", {"username": "shop", "password": "pa"}, "config.host"),
    ("sftp", {"host": "h", "username": "shop"}, "config"),
    ("sftp", {**SFTP, "port": "many"}, "config.port"),
    ("sftp", {**SFTP, "port": 0}, "config.port"),
    ("sftp", {**SFTP, "password": "********"}, "config.password"),
    ("sftp", {**SFTP, "file_name": "{week}"}, "config.file_name"),
    ("sftp", {**SFTP, "on_conflict": "ask"}, "config.on_conflict"),
    ("sftp", {"host": "h", "username": "u", "private_key": "no key"}, "config.private_key"),
    ("ftp", {**SFTP, "tls": "maybe"}, "config.tls"),
    ("s3", {"bucket": "bucket", "access_key_id": "a"}, "config.secret_access_key"),
    (
        "s3",
        {"bucket": "bucket", "access_key_id": "a", "secret_access_key": "s", "endpoint_url": "x"},
        "config.endpoint_url",
    ),
    ("minio", {"bucket": "bucket", "access_key": "a", "secret_key": "s"}, "config"),
    ("gdrive", {"folder_id": "f"}, "config.credentials"),
    ("gdrive", {"folder_id": "f", "credentials": {"type": "else"}}, "config.credentials"),
    ("dropbox", {}, "platform_type"),
]


@pytest.mark.parametrize(("kind", "config", "field"), BAD_CONFIGS)
def test_an_invalid_field_of_a_config_is_named(shop: Rest, kind: str, config: dict[str, Any], field: str) -> None:
    answer = shop.call("POST", "/exports/platforms", {"name": "P", "platform_type": kind, "config": config})
    problem(answer, 422, "invalid_request", field)
    assert shop.call("GET", "/exports/platforms").json["items"] == []


BAD_BODIES: list[tuple[Any, str]] = [
    ({}, "name"),
    ({"name": "", "platform_type": "sftp", "config": SFTP}, "name"),
    ({"name": " ", "platform_type": "sftp", "config": SFTP}, "name"),
    ({"name": "a\nb", "platform_type": "sftp", "config": SFTP}, "name"),
    ({"name": "n" * 201, "platform_type": "sftp", "config": SFTP}, "name"),
    ({"name": "P", "config": SFTP}, "platform_type"),
    ({"name": "P", "platform_type": "sftp"}, "config"),
    ({"name": "P", "platform_type": "sftp", "config": "text"}, "config"),
    ({"name": "P", "platform_type": "sftp", "config": SFTP, "is_active": "yes"}, "is_active"),
    ({"name": "P", "platform_type": "sftp", "config": SFTP, "active": True}, "active"),
]


@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
def test_an_invalid_field_of_a_body_is_named(shop: Rest, body: Any, field: str) -> None:
    problem(shop.call("POST", "/exports/platforms", body), 422, "invalid_request", field)


def test_invalid_json_a_body_that_is_not_an_object_and_an_invalid_id_are_rejected(shop: Rest) -> None:
    problem(shop.call("POST", "/exports/platforms", raw=b"{"), 400, "not_json")
    problem(shop.call("POST", "/exports/platforms", raw=b"[]"), 422, "invalid_request", "body")
    problem(shop.call("GET", "/exports/platforms/nonsense"), 404, "platform_not_found")
    problem(shop.call("PATCH", f"/exports/platforms/{uuid.uuid4()}", {"name": "x"}), 404, "platform_not_found")
    problem(shop.call("POST", f"/exports/platforms/{uuid.uuid4()}/test"), 404, "platform_not_found")
    job, _ = shop.file("csv", {"platform_ids": []})
    path = f"/exports/jobs/{job['id']}/deliveries"
    problem(shop.call("POST", path, {"platform_id": "x"}), 422, "invalid_request", "platform_id")
    problem(shop.call("POST", path, {}), 422, "invalid_request", "platform_id")
    problem(shop.call("POST", path, {"platform_id": str(uuid.uuid4())}), 404, "platform_not_found")
    problem(shop.call("GET", f"/exports/jobs/{uuid.uuid4()}/deliveries"), 404, "job_not_found")


def test_an_invalid_change_changes_nothing(shop: Rest, rigs: dict[str, Rig]) -> None:
    made = register(shop, "sftp", rigs["sftp"].config(), is_active=False)
    path = f"/exports/platforms/{made['id']}"
    before = shop.call("GET", path).json
    for field, change in (
        ("config.hots", {"config": {"hots": "x"}}),
        ("config.port", {"config": {"port": "x"}}),
        ("config.host", {"config": {"host": None}}),
        ("config", {"config": {"password": None}}),
        ("config", {"config": {"passphrase": "********"}}),
        ("platform_type", {"platform_type": "s3"}),
        ("name", {"name": ""}),
    ):
        problem(shop.call("PATCH", path, change), 422, "invalid_request", field)
    assert shop.call("GET", path).json == before


def test_another_tenants_platform_is_not_found(shop: Rest, system: System, rigs: dict[str, Rig]) -> None:
    made = register(shop, "sftp", rigs["sftp"].config(), is_active=False)
    other = system.client("somebody-else")
    path = f"/exports/platforms/{made['id']}"
    for answer in (
        other.call("GET", path),
        other.call("PATCH", path, {"name": "x"}),
        other.call("DELETE", path),
        other.call("POST", f"{path}/test"),
    ):
        problem(answer, 404, "platform_not_found")
    assert other.call("GET", "/exports/platforms").json["items"] == []
    job, _ = shop.file("csv", {"platform_ids": []})
    problem(other.call("GET", f"/exports/jobs/{job['id']}/deliveries"), 404, "job_not_found")
    assert shop.call("GET", path).json["name"] == made["name"]


def test_scopes_for_platforms_are_required(shop: Rest, system: System, rigs: dict[str, Rig]) -> None:
    tenant = f"scopes-{uuid.uuid4().hex[:8]}"
    reader = Rest(system.url, system.key(tenant, "platforms:read"))
    exports = Rest(system.url, system.key(tenant, "exports:read,exports:write"))
    body = {"name": "P", "platform_type": "sftp", "config": rigs["sftp"].config()}
    assert reader.call("GET", "/exports/platforms").status == 200
    problem(reader.call("POST", "/exports/platforms", body), 403, "missing_scope")
    problem(exports.call("GET", "/exports/platforms"), 403, "missing_scope")
    problem(Rest(system.url, "").call("GET", "/exports/platforms"), 401, "missing_key")
