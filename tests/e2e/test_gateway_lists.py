"""Lists of jobs: every job once, in order, while new ones are created."""

import uuid

import pytest

from tests.rest import Rest
from tests.system import System

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
