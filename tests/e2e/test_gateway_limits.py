"""Rate limits, on a gateway that allows five requests a minute."""

import re
from collections.abc import Iterator

import pytest

from deploy.local.servers import free_port
from tests.gateways import Gateway, gateway
from tests.problems import problem
from tests.rest import Rest
from tests.system import System

LIMIT = 5


@pytest.fixture(scope="module")
def strict(system: System) -> Iterator[Gateway]:
    with gateway(system, "gateway-strict", RATE_LIMIT=str(LIMIT)) as running:
        yield running


def test_every_response_says_what_is_left_and_a_rejection_when_to_try_again(system: System, strict: Gateway) -> None:
    client = strict.client(system.key("limits"))
    paths = ["/exports/jobs", "/exports/jobs/x", "/exports/jobs?limit=x", "/exports/jobs", "/exports/jobs"]
    answers = [client.call("GET", path) for path in paths]
    assert [answer.status for answer in answers] == [200, 404, 422, 200, 200]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {f'"key";q={LIMIT};w=60'}
    left = [re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["ratelimit"]) for answer in answers]
    assert [int(found[1]) for found in left if found] == [4, 3, 2, 1, 0]
    assert all(found and 0 < int(found[2]) <= 60 for found in left)
    rejected = client.call("GET", "/exports/jobs")
    problem(rejected, 429, "rate_limited", words="5 requests per minute")
    assert 1 <= int(rejected.headers["retry-after"]) <= 12
    assert rejected.headers["ratelimit"].startswith('"key";r=0;')


def test_keys_have_separate_limits_and_a_missing_scope_counts_as_a_request(system: System, strict: Gateway) -> None:
    busy, calm = (strict.client(system.key("limits", "exports:write")) for _ in range(2))
    assert [busy.call("GET", "/exports/jobs").status for _ in range(LIMIT + 1)] == [403] * LIMIT + [429]
    assert calm.call("GET", "/exports/jobs").status == 403


def test_routes_without_a_key_are_not_limited(strict: Gateway) -> None:
    anonymous = Rest(strict.url, "")
    answers = [anonymous.call("GET", f"{strict.url}/healthz") for _ in range(LIMIT * 2)]
    assert {answer.status for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


def test_a_signed_link_does_not_count(system: System, strict: Gateway) -> None:
    system.fill("limits-link", [{"_id": "1", "sku": "A"}])
    job, file = system.client("limits-link").file("csv")
    link = str(job["file_url"]).replace(system.url, strict.url)
    answers = [Rest(strict.url, "").call("GET", link) for _ in range(LIMIT * 2)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, file)}


def test_limits_are_shown_with_their_usage(system: System, strict: Gateway) -> None:
    system.fill("usage", [{"_id": "1", "sku": "A"}])
    client = strict.client(system.key("usage", "exports:read,exports:write"))
    before = client.call("GET", "/limits").json
    assert before == {
        "jobs": {"used": 0, "limit": 1_000},
        "artifact_bytes": {"used": 0},
        "profiles": {"used": 0, "limit": 200},
        "platforms": {"used": 0, "limit": 100},
        "webhooks": {"used": 0, "limit": 20},
        "schedules": {"used": 0, "limit": 10_000},
        "requests_per_minute": {"limit": LIMIT, "left": LIMIT - 1},
    }
    job, _ = system.client("usage").file("csv")
    assert client.call("GET", "/limits").json["artifact_bytes"] == {"used": job["file_size"]}


def test_the_part_of_a_service_that_does_not_answer_is_absent_with_a_note(system: System) -> None:
    with gateway(system, "gateway-limits", SCHEDULER_ADDRESS=f"127.0.0.1:{free_port()}") as front:
        answer = front.client(system.key("usage")).call("GET", "/limits")
    assert answer.status == 200
    shown = ["artifact_bytes", "jobs", "notes", "platforms", "profiles", "requests_per_minute", "webhooks"]
    assert sorted(answer.json) == shown
    assert [note["code"] for note in answer.json["notes"]] == ["scheduler_unavailable"]
