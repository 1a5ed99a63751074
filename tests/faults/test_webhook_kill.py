"""Services are killed while events are reported and the receiver is away: every event arrives, signed, in an order that
can be determined."""

import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rest import Rest
from tests.system import System, eventually, running
from tests.webhook_receiver import Receiver, receiver

TENANT = "hooks"
KILLS = 50
EVENTS = ["export.completed", "export.failed", "export.cancelled"]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings: dict[str, Any] = {"JOB_LEASE_SECONDS": "3", "JOB_RETRY_SECONDS": "0.5", "RECONCILE_SECONDS": "2"}
    with running(tmp_path_factory.mktemp("hooks"), with_delivery=True, **settings) as started:
        yield started


def hour_later(system: System) -> None:
    """Let an hour pass: what was to be sent within it is due, and claims of killed processes have run out."""
    with system.mongo() as client:
        due = {"due_at": {"$exists": True}}
        passed = [{"$set": {"due_at": {"$dateSubtract": {"startDate": "$due_at", "unit": "hour", "amount": 1}}}}]
        client["delivery"]["webhook_messages"].update_many(due, passed)


def answered(client: Rest, method: str, path: str, body: object = None, *, key: str = "") -> dict[str, Any]:
    """The body of a successful response; the request is repeated while a service is away."""
    headers = {"Idempotency-Key": key} if key else {}

    def done() -> dict[str, Any] | None:
        answer = client.call(method, path, body, headers=headers)
        return answer.json if answer.status < 400 else None

    return dict(eventually(f"{method} {path} succeeds", done))


@pytest.mark.full
def test_every_event_arrives_although_services_are_killed_and_the_receiver_is_away(system: System) -> None:
    client, chance = system.client(TENANT), random.Random(4)
    system.fill(TENANT, [{"_id": str(n), "sku": f"A{n}"} for n in range(100)])
    with receiver() as endpoint:
        body = {"url": endpoint.url, "events": EVENTS}
        webhook = answered(client, "POST", "/webhooks", body, key="hook")
        endpoint.secrets.append(str(webhook["secret"]))
        jobs = _ends_under_kills(system, client, endpoint, chance, str(webhook["id"]))
        endpoint.status = 204

        def all_arrived() -> bool:
            hour_later(system)
            return {str(one.body["data"]["job_id"]) for one in endpoint.accepted.values()} >= set(jobs)

        eventually("every end is reported", all_arrived, every=0.5)
    assert all(request.signed_by for request in endpoint.requests), "a signature was not valid"
    assert {len(request.signed_by) for request in endpoint.requests} == {1, 2}, "both secrets were used"
    events = answered(client, "GET", "/events?limit=200")["items"]
    order = [event["id"] for event in events]
    assert [event["sequence"] for event in events] == list(range(1, len(order) + 1))
    by_number = sorted(endpoint.accepted.values(), key=lambda request: request.body["sequence"])
    assert [request.id for request in by_number] == [one for one in order if one in endpoint.accepted]
    assert len(events) == len(jobs), "an end was recorded twice"


def _ends_under_kills(
    system: System, client: Rest, endpoint: Receiver, chance: random.Random, webhook: str
) -> dict[str, str]:
    """Jobs whose ends are to be reported, made while services are killed; the receiver is away for an hour."""
    jobs: dict[str, str] = {}
    for number in range(KILLS):
        if number == KILLS // 4:
            endpoint.status = 503
        if number == KILLS // 2:
            rotated = answered(client, "POST", f"/webhooks/{webhook}/rotate-secret")
            endpoint.secrets.append(str(rotated["secret"]))
        if number == 3 * KILLS // 4:
            endpoint.status = 204
            hour_later(system)
        job = str(answered(client, "POST", "/exports/csv/products", {}, key=f"job-{number}")["id"])
        jobs[job] = ""
        time.sleep(chance.uniform(0, 0.2))  # waits for nothing: the moment is random on purpose
        victim = chance.choice([system.delivery, system.exporter])
        victim.end(signal.SIGKILL)
        victim.start()
    return jobs
