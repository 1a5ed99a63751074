"""Clients that wait for a job instead of polling: `Prefer: wait`, and Server-Sent Events."""

import hashlib
import http.client
import json
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from tests.gateways import Gateway, gateway
from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually
from tests.waiting import DEADLINE

TENANT = "waiting"
NEVER = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Event:
    """A Server-Sent Event."""

    id: str
    data: Any


class Stream:
    """The events of a job, read one by one."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        for line in iter(self.response.readline, b""):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif fields.get("event") == "job":
                return Event(fields["id"], json.loads(fields["data"]))
        return None


@contextmanager
def events(url: str, client: Rest, job_id: str, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE)
    sent = {"Authorization": f"Bearer {client.key}", **(headers or {})}
    connection.request("GET", f"/api/v1/exports/jobs/{job_id}/events", headers=sent)
    try:
        yield Stream(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill(TENANT, [{"_id": str(n), "sku": f"A{n}"} for n in range(10)])
    return Rest(system.url, system.key(TENANT))


@pytest.fixture
def running_job(system: System, client: Rest) -> Iterator[str]:
    """A job that seems to run for an hour: as a worker leaves it that was killed after a heartbeat."""
    job_id = str(client.ended(client.export("csv").json["id"])["id"])
    running = {"state": "running", "stage": "reading", "lease_until": {"$add": ["$$NOW", 3_600_000]}, "processed": 3}
    gone = ["artifact", "finished_at", "event_at", "expires_at", "records", "dispatch_at"]
    with MongoClient[dict[str, Any]](system.mongod.uri) as mongo:
        mongo["exporter"]["jobs"].update_one({"_id": job_id}, [{"$set": running}, {"$unset": gone}])
    yield job_id
    client.call("POST", f"/exports/jobs/{job_id}/cancel")


def wait(client: Rest, job_id: str, seconds: int) -> Any:
    return client.call("GET", f"/exports/jobs/{job_id}", headers={"Prefer": f"wait={seconds}"}, timeout=DEADLINE + 60)


def test_an_export_that_is_waited_for_is_answered_with_the_finished_job(client: Rest) -> None:
    answer = client.call("POST", "/exports/csv/products", {}, headers={"Prefer": "wait=60"}, timeout=120)
    assert (answer.status, answer.headers["preference-applied"]) == (201, "wait=60")
    job = answer.json
    assert (job["status"], job["total_records"]) == ("completed", 10)
    assert answer.headers["location"] == f"/api/v1/exports/jobs/{job['id']}"
    assert "retry-after" not in answer.headers
    assert hashlib.sha256(client.call("GET", job["file_url"]).body).hexdigest() == job["sha256"]
    again = wait(client, job["id"], 60)
    assert (again.status, again.json["status"]) == (200, "completed")


def test_without_the_preference_nobody_waits(client: Rest) -> None:
    answer = client.call("POST", "/exports/csv/products", {}, headers={"Prefer": "wait=soon, respond-async"})
    assert answer.status == 202
    assert "preference-applied" not in answer.headers


def test_a_wait_ends_when_the_time_is_up(client: Rest, running_job: str) -> None:
    answer = wait(client, running_job, 1)
    assert (answer.status, answer.headers["preference-applied"]) == (200, "wait=1")
    assert (answer.json["status"], answer.headers["retry-after"]) == ("processing", "1")


def test_all_who_wait_hear_of_a_cancellation(client: Rest, running_job: str) -> None:
    with ThreadPoolExecutor(20) as clients:
        waiting = [clients.submit(wait, client, running_job, 60) for _ in range(20)]
        assert client.call("POST", f"/exports/jobs/{running_job}/cancel").status == 200
        assert {one.result().json["status"] for one in waiting} == {"cancelled"}


def test_events_show_a_job_until_it_has_ended(client: Rest, running_job: str) -> None:
    with events(client.url, client, running_job) as stream:
        headers = stream.response.headers
        assert headers["content-type"] == "text/event-stream"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        first = stream.next()
        assert first is not None
        assert (first.data["status"], first.data["progress"]["processed"]) == ("processing", 3)
        client.call("POST", f"/exports/jobs/{running_job}/cancel")
        last = stream.next()
        assert last is not None
        assert last.data == client.job(running_job)
        assert last.data["status"] == "cancelled"
        assert stream.next() is None
    with events(client.url, client, running_job) as stream:
        assert stream.next() == last
        assert stream.next() is None
    with events(client.url, client, running_job, {"Last-Event-ID": last.id}) as stream:
        assert stream.next() is None


def test_events_of_an_unknown_job_are_a_problem(client: Rest) -> None:
    problem(client.call("GET", f"/exports/jobs/{NEVER}/events"), 404, "job_not_found")
    problem(wait(client, NEVER, 10), 404, "job_not_found")


def test_a_gateway_that_stops_answers_those_who_wait(system: System, client: Rest, running_job: str) -> None:
    with gateway(system, "gateway-waiting", SHUTDOWN_NOTICE="5") as front, ThreadPoolExecutor(1) as clients:
        eventually("it is ready", lambda: ready(front))
        with events(front.url, client, running_job) as stream:
            assert stream.next() is not None
            waiting = clients.submit(wait, front.client(client.key), running_job, 60)
            front.process.send(signal.SIGTERM)
            assert stream.next() is None
            assert waiting.result().json["status"] == "processing"
        eventually("it has ended", lambda: front.process.pid is None)


def ready(front: Gateway) -> bool:
    return front.client("").call("GET", f"{front.url}/readyz").status == 200
