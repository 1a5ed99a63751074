"""What clients see while a service behind the gateway is down, and that everything recovers afterwards."""

import signal
import time
from collections.abc import Iterator

import pytest

from deploy.local.servers import free_port
from tests.gateways import Gateway, exporter, gateway
from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import Process, System, eventually

DEADLINE = 2
MAX_SECONDS = DEADLINE + 8


@pytest.fixture(scope="module")
def pair(system: System) -> Iterator[tuple[Gateway, Process]]:
    """A gateway with its own exporter, which runs no jobs; the shared exporter runs them."""
    port = free_port()
    with (
        exporter(system, "exporter-outage", port, WORKER_JOBS="0") as behind,
        gateway(system, "gateway-outage", EXPORTER_ADDRESS=f"127.0.0.1:{port}", RPC_DEADLINE=str(DEADLINE)) as front,
    ):
        eventually("both are ready", lambda: ready(front).status == 200)
        yield front, behind


@pytest.fixture(scope="module")
def key(system: System) -> str:
    system.fill("outage", [{"_id": "1", "sku": "A"}])
    return system.key("outage")


def ready(front: Gateway) -> Answer:
    return Rest(front.url, "").call("GET", f"{front.url}/readyz")


def check_rejections(client: Rest) -> None:
    """Every kind of call ends in time, with a problem that says when to try again."""
    never = "/exports/jobs/00000000-0000-4000-8000-000000000000"
    calls = [("GET", never), ("GET", "/exports/jobs"), ("POST", "/exports/csv/products"), ("GET", f"{never}/download")]
    for method, path in calls:
        started = time.monotonic()
        answer = client.call(method, path)
        assert time.monotonic() - started < MAX_SECONDS
        problem(answer, 503, "exporter_unavailable", words="try again")
        assert int(answer.headers["retry-after"]) >= 1
        assert "ratelimit" in answer.headers


def check_not_ready(front: Gateway) -> None:
    answer = eventually("not ready", lambda: (a := ready(front)).status == 503 and a)
    assert answer.json == {"status": "not_ready", "checks": {"exporter": False, "database": True}}
    assert Rest(front.url, "").call("GET", f"{front.url}/healthz").status == 200


def check_recovery(front: Gateway, client: Rest) -> None:
    eventually("ready again", lambda: ready(front).status == 200, within=15)
    accepted = client.export("csv")
    assert accepted.status == 202, accepted
    assert client.ended(accepted.json["id"])["status"] == "completed"


def test_a_killed_exporter_is_reported_and_found_after_its_restart(pair: tuple[Gateway, Process], key: str) -> None:
    front, behind = pair
    client = front.client(key)
    behind.end(signal.SIGKILL)
    check_rejections(client)
    check_not_ready(front)
    behind.start()
    check_recovery(front, client)


@pytest.mark.full
def test_a_frozen_exporter_is_reported_within_the_deadline_and_found_when_it_continues(
    pair: tuple[Gateway, Process], key: str
) -> None:
    front, behind = pair
    client = front.client(key)
    behind.send(signal.SIGSTOP)
    check_rejections(client)
    check_not_ready(front)
    behind.send(signal.SIGCONT)
    check_recovery(front, client)


def test_a_request_repeated_after_an_outage_creates_one_job(
    system: System, pair: tuple[Gateway, Process], key: str
) -> None:
    front, behind = pair
    client = front.client(key)
    behind.send(signal.SIGSTOP)
    problem(client.export("csv", key="through-the-outage"), 503, "exporter_unavailable")
    behind.send(signal.SIGCONT)
    job_id = client.export("csv", key="through-the-outage").json["id"]
    assert client.export("csv", key="through-the-outage").json["id"] == job_id
    with system.mongo() as mongo:
        assert mongo["exporter"]["jobs"].count_documents({"_id": job_id}) == 1
    assert client.ended(job_id)["status"] == "completed"
