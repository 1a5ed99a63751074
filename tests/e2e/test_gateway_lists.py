"""Lists of jobs: every job once, in order, while new ones are created."""

import uuid

import pytest

from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually

JOBS = 25


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("lists", [{"_id": "1", "sku": "A"}])
    return system.client("lists")


@pytest.fixture(scope="module")
def ids(shop: Rest) -> list[str]:
    """Ids of jobs, oldest first."""
    made = [shop.export("json" if number % 5 == 0 else "csv").json["id"] for number in range(JOBS)]
    for job_id in made:
        shop.ended(job_id)
    return made


def pages(client: Rest, query: str, between: list[str] | None = None) -> list[list[str]]:
    """The ids on all pages; before each further page a job is created and its id added to `between`."""
    found, cursor = [], ""
    while True:
        page = client.call("GET", f"/exports/jobs?{query}{cursor}").json
        found.append([job["id"] for job in page["items"]])
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"
        if between is not None:
            between.append(client.export("csv").json["id"])


@pytest.mark.parametrize("limit", [1, 4, 5, 24, 25, 26, 200])
def test_pages_contain_every_job_once_newest_first(shop: Rest, ids: list[str], limit: int) -> None:
    found = [job_id for page in pages(shop, f"limit={limit}") for job_id in page]
    assert found[-JOBS:] == ids[::-1]
    assert len(set(found)) == len(found)


def test_jobs_created_between_two_pages_shift_nothing(shop: Rest, ids: list[str]) -> None:
    before = [job_id for page in pages(shop, "limit=200") for job_id in page]
    created: list[str] = []
    found = pages(shop, "limit=4", between=created)
    assert [job_id for page in found for job_id in page] == before
    assert [len(page) for page in found[:-1]] == [4] * (len(found) - 1)
    assert len(created) == len(found) - 1
    newest = [job_id for page in pages(shop, "limit=200") for job_id in page]
    assert newest[: len(created)] == created[::-1]


def test_a_list_is_filtered_by_format_status_and_schedule(shop: Rest, ids: list[str]) -> None:
    as_json = [job_id for number, job_id in enumerate(ids) if number % 5 == 0]
    assert [job_id for page in pages(shop, "limit=2&format=json") for job_id in page] == as_json[::-1]
    assert set(ids) <= {job_id for page in pages(shop, "status=completed&limit=200") for job_id in page}
    assert pages(shop, "status=failed") == [[]]
    assert pages(shop, f"schedule={uuid.uuid4()}") == [[]]


def test_a_list_shows_jobs_in_full_except_for_their_deliveries(shop: Rest, ids: list[str]) -> None:
    listed = {job["id"]: job for job in shop.call("GET", "/exports/jobs?limit=200").json["items"]}
    assert {**listed[ids[0]], "deliveries": []} == shop.job(ids[0])


def test_a_list_is_narrowed_by_time_and_by_several_statuses_and_turned_around(shop: Rest, ids: list[str]) -> None:
    jobs = [shop.job(job_id) for job_id in ids]
    since, until = jobs[5]["created_at"], jobs[10]["created_at"]
    wanted = {job["id"] for job in jobs if since <= job["created_at"] < until}
    assert wanted
    query = f"created_after={since}&created_before={until}&limit=3"
    assert {job_id for page in pages(shop, query) for job_id in page} == wanted
    oldest = [job_id for page in pages(shop, "sort=created_at&limit=7") for job_id in page]
    assert oldest[:JOBS] == ids
    both = [job_id for page in pages(shop, "status=failed,completed&limit=200") for job_id in page]
    assert set(ids) <= set(both)
    for query, field in (
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-03-15T09:00:00", "created_before"),
        ("sort=name", "sort"),
        ("status=failed,done", "status"),
    ):
        problem(shop.call("GET", f"/exports/jobs?{query}"), 422, "invalid_query", field)


def test_a_page_links_to_the_next_one(shop: Rest, ids: list[str]) -> None:
    first = shop.call("GET", "/exports/jobs?limit=10&sort=created_at")
    target, relation = first.headers["link"].split("; ")
    assert relation == 'rel="next"'
    second = shop.call("GET", target.strip("<>").removeprefix("/api/v1"))
    assert [job["id"] for job in second.json["items"]] == ids[10:20]
    assert "link" not in shop.call("GET", "/exports/jobs?limit=200").headers


def test_platforms_schedules_runs_and_deliveries_are_narrowed(system: System) -> None:
    system.fill("narrow", [{"_id": "1", "sku": "A"}])
    client = system.client("narrow")

    def created(path: str, body: dict[str, object]) -> str:
        return str(client.call("POST", path, body).json["id"])

    def found(path: str) -> list[str]:
        return [one["id"] for one in client.call("GET", path).json["items"]]

    config = {"host": "127.0.0.1", "port": 1, "username": "u", "password": "p"}
    sftp = created("/exports/platforms", {"name": "Shop (EU)", "platform_type": "sftp", "config": config})
    ftp = created(
        "/exports/platforms",
        {"name": "Printer", "platform_type": "ftp", "config": {**config, "tls": "none"}, "is_active": False},
    )
    assert found("/exports/platforms") == [ftp, sftp]
    assert found("/exports/platforms?name=shop%20(") == [sftp]
    assert found("/exports/platforms?platform_type=ftp") == [ftp]
    assert found("/exports/platforms?is_active=true") == [sftp]
    problem(client.call("GET", "/exports/platforms?platform_type=fax"), 422, "invalid_request", "platform_type")
    problem(client.call("GET", "/exports/platforms?is_active=yes"), 422, "invalid_query", "is_active")
    schedule = created(
        "/exports/schedules",
        {"platform_id": sftp, "schedule_name": "Nightly", "cron_expression": "0 0 1 1 *", "is_active": False},
    )
    assert found("/exports/schedules?is_active=false&name=night") == [schedule]
    assert found("/exports/schedules?is_active=true") == []
    assert found(f"/exports/schedules?platform={ftp}") == []
    run = client.call("POST", f"/exports/schedules/{schedule}/run")
    assert run.json["job_id"] == run.json["id"]
    path = run.headers["location"].removeprefix("/api/v1")
    done = eventually(
        "the run is over", lambda: (one := client.call("GET", path).json)["status"] == "completed" and one
    )
    assert done["id"] == run.json["id"]
    assert found(f"/exports/schedules/{schedule}/runs?status=completed,failed") == [done["id"]]
    assert found(f"/exports/schedules/{schedule}/runs?status=skipped") == []
    problem(client.call("GET", path[:-1] + ("0" if path[-1] != "0" else "1")), 404, "run_not_found")
    eventually("its delivery waits", lambda: found("/exports/deliveries?status=retry_wait,pending,sending"))
    client.call("DELETE", f"/exports/platforms/{sftp}?force=true")
    [failed] = eventually("it has failed", lambda: found(f"/exports/deliveries?status=failed&platform={sftp}"))
    assert found(f"/exports/jobs/{done['job_id']}/deliveries") == [failed]
    assert found("/exports/deliveries?status=delivered") == []
    assert found("/exports/deliveries?created_before=2020-01-01T00:00:00Z") == []
