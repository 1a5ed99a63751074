"""Schedules over REST, from creation to the file at the platform, and the requests that are rejected."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.contract.destinations.rigs.sftp import SftpRig
from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System, eventually

TENANT = "clockwork"
SOME_ID = "11111111-2222-4333-8444-555555555555"
YEARLY = "0 0 1 1 *"


@pytest.fixture(scope="module")
def rig() -> Iterator[SftpRig]:
    """An SFTP server to deliver to."""
    server = SftpRig()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    """A client of a tenant with a small catalogue."""
    system.fill(TENANT, [{"_id": f"p{n}", "sku": f"S-{n}", "price": n / 4} for n in range(10)])
    return system.client(TENANT)


@pytest.fixture(scope="module")
def platform(client: Rest, rig: SftpRig) -> str:
    """The id of a platform for the SFTP server."""
    return registered(client, rig)


@pytest.fixture(scope="module", autouse=True)
def minutely(client: Rest, platform: str) -> Any:
    """A schedule that fires every minute; its first minute passes while the other tests run."""
    template = {"file_name": "{schedule}_{date}_{job}"}
    return created(client, platform, "* * * * *", schedule_name="Every minute", options=template)


def registered(client: Rest, rig: SftpRig, **more: Any) -> str:
    body = {"name": "Shop", "platform_type": "sftp", "config": rig.config(), **more}
    answer = client.call("POST", "/exports/platforms", body)
    assert answer.status == 201, answer
    return str(answer.json["id"])


def create(client: Rest, platform: str, cron: str = YEARLY, **more: Any) -> Answer:
    body = {"platform_id": platform, "schedule_name": "Nightly", "cron_expression": cron, **more}
    return client.call("POST", "/exports/schedules", body)


def created(client: Rest, platform: str, cron: str = YEARLY, **more: Any) -> Any:
    answer = create(client, platform, cron, **more)
    assert answer.status == 201, answer
    return answer.json


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def runs_of(client: Rest, schedule_id: str) -> Any:
    answer = client.call("GET", f"/exports/schedules/{schedule_id}/runs")
    assert answer.status == 200, answer
    return answer.json["items"]


def delivered(client: Rest, job_id: str) -> Any:
    """The only delivery of a job, once it has succeeded."""

    def arrived() -> Any:
        items = client.call("GET", f"/exports/jobs/{job_id}/deliveries").json["items"]
        assert len(items) <= 1, items
        return items and items[0]["status"] == "delivered" and items[0]

    return eventually(f"the file of {job_id} is delivered", arrived)


# Lifecycle of a schedule


def test_a_new_schedule_is_shown_with_its_defaults_and_its_location(client: Rest, platform: str) -> None:
    answer = create(client, platform, "30 2 * * *", timezone="Europe/Paris", options={"utf8_bom": False})
    assert answer.status == 201, answer
    short = answer.json
    required = {"id", "schedule_name", "cron_expression", "timezone", "is_active", "created_at"}
    assert required <= set(short) <= required | {"next_run_at"}
    assert (short["timezone"], short["is_active"]) == ("Europe/Paris", True)
    assert answer.headers["location"] == f"/api/v1/exports/schedules/{short['id']}"
    whole = client.call("GET", f"/exports/schedules/{short['id']}").json
    assert whole == {
        **short,
        "platform_id": platform,
        "format": "csv",
        "misfire": "latest",
        "overlap": "skip",
        "jitter_seconds": 0,
        "updated_at": short["created_at"],
        "options": {"utf8_bom": False},
    }
    assert client.call("DELETE", f"/exports/schedules/{short['id']}").status == 204


def test_run_starts_an_export_even_while_paused_and_a_repeated_key_starts_no_other(
    client: Rest, platform: str, rig: SftpRig
) -> None:
    schedule = created(client, platform, is_active=False, format="json", options={"file_name": "now_{schedule}"})
    assert "next_run_at" not in schedule
    path, key = f"/exports/schedules/{schedule['id']}/run", {"Idempotency-Key": "order-1"}
    answer = client.call("POST", path, headers=key)
    assert answer.status == 202, answer
    run = answer.json
    assert (run["status"], run["is_manual"]) == ("waiting", True)
    ended = eventually(
        "the run ends", lambda: [r for r in runs_of(client, schedule["id"]) if r["status"] == "completed"]
    )
    delivery = delivered(client, ended[0]["job_id"])
    assert delivery["platform_id"] == platform
    assert rig.files()["now_Nightly.json"] == client.download(ended[0]["job_id"]).body
    assert client.call("POST", path, headers=key).json["id"] == run["id"]
    [last] = runs_of(client, schedule["id"])
    assert client.call("GET", f"/exports/schedules/{schedule['id']}").json["last_run"] == last
    [job] = client.call("GET", f"/exports/jobs?schedule={schedule['id']}").json["items"]
    assert (job["id"], job["schedule_id"]) == (last["job_id"], schedule["id"])


def test_a_schedule_is_changed_paused_and_resumed(client: Rest, platform: str) -> None:
    schedule = created(client, platform, options={"filters": {"price": {"gte": 1}}})
    path = f"/exports/schedules/{schedule['id']}"
    paused = client.call("PATCH", path, {"is_active": False})
    assert paused.status == 200, paused
    assert "next_run_at" not in paused.json
    assert client.call("GET", f"{path}/upcoming").json == {"items": []}
    change = {"is_active": True, "cron_expression": "@daily", "timezone": "Asia/Tokyo", "schedule_name": "Daily"}
    resumed = client.call("PATCH", path, change).json
    assert {name: resumed[name] for name in change} == change
    assert at(resumed["next_run_at"]) > at(resumed["updated_at"]) > at(resumed["created_at"])
    assert resumed["options"] == {"filters": {"price": {"gte": 1}}}
    upcoming = client.call("GET", f"{path}/upcoming?count=2").json["items"]
    assert upcoming[0]["at"] == resumed["next_run_at"]
    assert all(item["local"].endswith("T00:00:00+09:00") and item["utc_offset"] == "+09:00" for item in upcoming)
    assert len(upcoming) == 2
    for bad, field in (
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"platform_id": SOME_ID}, "platform_id"),
    ):
        problem(client.call("PATCH", path, bad), 422, "invalid_request", field)
    assert client.call("GET", path).json == resumed
    assert client.call("DELETE", path).status == 204
    problem(client.call("GET", path), 404, "schedule_not_found")


def test_numbers_in_options_keep_their_digits(client: Rest, platform: str) -> None:
    raw = (
        f'{{"platform_id": "{platform}", "schedule_name": "Exact", "cron_expression": "{YEARLY}", '
        '"options": {"filters": {"price": {"gte": 1.00000000000000000001}}}}'
    )
    answer = client.call("POST", "/exports/schedules", raw=raw.encode())
    assert answer.status == 201, answer
    shown = client.call("GET", f"/exports/schedules/{answer.json['id']}").body
    assert b'"options":{"filters": {"price": {"gte": 1.00000000000000000001}}}' in shown


def test_a_preview_shows_times_with_their_offsets(client: Rest) -> None:
    body = {"cron_expression": "30 2 * * *", "timezone": "Europe/Paris", "count": 3}
    answer = client.call("POST", "/exports/schedules/preview", body)
    assert answer.status == 200, answer
    items = answer.json["items"]
    assert len(items) == 3
    assert all(at(item["local"]) == at(item["at"]) for item in items)
    assert {item["utc_offset"] for item in items} <= {"+01:00", "+02:00"}


def test_schedules_are_listed_in_pages(system: System, rig: SftpRig) -> None:
    client = system.client("lister")
    platform = registered(client, rig)
    ids = [created(client, platform)["id"] for _ in range(3)]
    first = client.call("GET", "/exports/schedules?limit=2").json
    second = client.call("GET", f"/exports/schedules?limit=2&cursor={first['next_cursor']}").json
    assert [one["id"] for one in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


# Rejected requests


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"platform_id": SOME_ID}, "platform_id"),
        ({"platform_id": "shop"}, "platform_id"),
        ({"schedule_name": ""}, "schedule_name"),
        ({"schedule_name": "   "}, "schedule_name"),
        ({"schedule_name": 7}, "schedule_name"),
        ({"cron_expression": "0 0 9 * * * 2026"}, "cron_expression"),
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"cron_expression": "0 0 30 2 *"}, "cron_expression"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"is_active": "yes"}, "is_active"),
        ({"format": "pdf"}, "format"),
        ({"options": {"delimiter": "x"}}, "options.delimiter"),
        ({"options": {"platform_ids": []}}, "options.platform_ids"),
        ({"options": []}, "options"),
        ({"misfire": "always"}, "misfire"),
        ({"overlap": "both"}, "overlap"),
        ({"jitter_seconds": 3_601}, "jitter_seconds"),
        ({"jitter_seconds": 1.5}, "jitter_seconds"),
        ({"cron": "* * * * *"}, "cron"),
    ],
    ids=str,
)
def test_an_invalid_field_of_a_body_is_named(client: Rest, platform: str, bad: dict[str, Any], field: str) -> None:
    body = {"platform_id": platform, "schedule_name": "Nightly", "cron_expression": YEARLY, **bad}
    problem(client.call("POST", "/exports/schedules", body), 422, "invalid_request", field)


def test_an_inactive_platform_is_rejected(client: Rest, rig: SftpRig) -> None:
    sleeping = registered(client, rig, is_active=False)
    problem(create(client, sleeping), 422, "invalid_request", "platform_id")


def test_an_invalid_preview_and_an_invalid_count_are_rejected(client: Rest, minutely: Any) -> None:
    for body, field in (
        ({"cron_expression": "* * * *"}, "cron_expression"),
        ({"cron_expression": "* * * * *", "timezone": "Mars/Base"}, "timezone"),
        ({"cron_expression": "* * * * *", "count": 0}, "count"),
        ({}, "cron_expression"),
    ):
        problem(client.call("POST", "/exports/schedules/preview", body), 422, "invalid_request", field)
    for count in ("0", "101", "x", "-1"):
        path = f"/exports/schedules/{minutely['id']}/upcoming?count={count}"
        problem(client.call("GET", path), 422, "invalid_query", "count")


def test_another_tenants_schedule_and_an_unknown_one_are_not_found(system: System, minutely: Any) -> None:
    other = system.client("schedules-other")
    for schedule_id in (minutely["id"], SOME_ID, "x"):
        path = f"/exports/schedules/{schedule_id}"
        calls = [("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/run")]
        for method, target in [*calls, ("GET", f"{path}/runs"), ("GET", f"{path}/upcoming")]:
            problem(other.call(method, target, {} if method == "PATCH" else None), 404, "schedule_not_found")
    assert other.call("GET", "/exports/schedules").json["items"] == []


def test_another_tenants_platform_is_unknown(system: System, platform: str) -> None:
    problem(create(system.client("schedules-other"), platform), 422, "invalid_request", "platform_id")


def test_scopes_are_required(system: System, minutely: Any, platform: str) -> None:
    reader = Rest(system.url, system.key(TENANT, "schedules:read"))
    path = f"/exports/schedules/{minutely['id']}"
    assert reader.call("GET", path).status == reader.call("GET", f"{path}/runs").status == 200
    assert reader.call("POST", "/exports/schedules/preview", {"cron_expression": "* * * * *"}).status == 200
    problem(create(reader, platform), 403, "missing_scope")
    for method, target in (("PATCH", path), ("DELETE", path), ("POST", f"{path}/run")):
        problem(reader.call(method, target, {}), 403, "missing_scope")
    exports_only = Rest(system.url, system.key(TENANT, "exports:write,platforms:write"))
    problem(exports_only.call("GET", path), 403, "missing_scope")


def test_a_platform_in_use_is_deleted_only_with_force_and_its_runs_then_fail(client: Rest, rig: SftpRig) -> None:
    platform = registered(client, rig)
    schedule = created(client, platform, schedule_name="Prices")
    path = f"/exports/platforms/{platform}"
    refused = client.call("DELETE", path)
    problem(refused, 409, "platform_in_use")
    assert f"'Prices' ({schedule['id']})" in refused.json["detail"]
    problem(client.call("DELETE", f"{path}?force=yes"), 422, "invalid_query", "force")
    assert client.call("DELETE", f"{path}?force=true").status == 204
    run = client.call("POST", f"/exports/schedules/{schedule['id']}/run").json

    def failed() -> Any:
        [found] = [one for one in runs_of(client, schedule["id"]) if one["id"] == run["id"]]
        items = (
            client.call("GET", f"/exports/jobs/{found['job_id']}/deliveries").json["items"] if "job_id" in found else []
        )
        return [one["error"]["code"] for one in items if one["status"] == "failed"]

    assert eventually("its delivery has failed", failed) == ["platform_not_found"]


# The schedule that fires every minute comes last: its first minute has passed by now


def nth_file(client: Rest, rig: SftpRig, minutely: Any, number: int) -> Any:
    """The schedule's run with that number, once its file has been delivered and checked."""

    def completed() -> Any:
        found = [run for run in reversed(runs_of(client, minutely["id"])) if run["status"] == "completed"]
        return len(found) >= number and found[number - 1]

    run = eventually(f"run {number} completed", completed, within=120)
    delivery = delivered(client, run["job_id"])
    date = client.job(run["job_id"])["created_at"][:10]
    assert delivery["file_name"] == f"Every minute_{date}_{run['job_id']}.csv"
    assert rig.files()[delivery["file_name"]] == client.download(run["job_id"]).body
    return run


@pytest.mark.full  # it takes three minutes
@pytest.mark.timeout(400)
def test_a_file_is_delivered_every_minute_until_the_schedule_is_paused(
    client: Rest, rig: SftpRig, minutely: Any
) -> None:
    first = nth_file(client, rig, minutely, 1)
    assert first["fire_at"].endswith(":00.000Z")
    assert (at(first["fire_at"]) - at(minutely["created_at"])).total_seconds() <= 60
    second = nth_file(client, rig, minutely, 2)
    assert (at(second["fire_at"]) - at(first["fire_at"])).total_seconds() == 60
    path = f"/exports/schedules/{minutely['id']}"
    assert "next_run_at" not in client.call("PATCH", path, {"is_active": False}).json
    known = runs_of(client, minutely["id"])
    time.sleep(65)  # longer than any minute: the pause itself is what is watched
    assert [run["id"] for run in runs_of(client, minutely["id"])] == [run["id"] for run in known]
