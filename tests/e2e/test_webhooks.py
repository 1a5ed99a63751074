"""Webhooks and events as a client sees them: the whole life of a webhook, and every event that a client can cause."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually
from tests.webhook_receiver import Receiver, receiver

TENANT = "hooks"
ALL = ["export.completed", "export.failed", "export.cancelled", "delivery.delivered", "delivery.failed"]
UNREACHABLE = {"host": "127.0.0.1", "port": 1, "username": "u", "password": "p"}
PROBLEMS = [
    ({"url": "ftp://example.com/", "events": ALL}, "url"),
    ({"url": "https://user:secret@example.com/", "events": ALL}, "url"),
    ({"url": "https://example.com/#x", "events": ALL}, "url"),
    ({"url": "https:///x", "events": ALL}, "url"),
    ({"url": "https://example.com/ x", "events": ALL}, "url"),
    ({"url": "https://example.com/", "events": []}, "events"),
    ({"url": "https://example.com/", "events": ["export.done"]}, "events[0]"),
    ({"url": "https://example.com/"}, "events"),
    ({"url": "https://example.com/", "events": ALL, "secret": "mine"}, "secret"),
]


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill(TENANT, [{"_id": str(n), "sku": f"A{n}"} for n in range(10)])
    return Rest(system.url, system.key(TENANT))


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def created(client: Rest, endpoint: Receiver, **more: Any) -> dict[str, Any]:
    """A webhook to the endpoint, which knows its secret."""
    answer = client.call("POST", "/webhooks", {"url": endpoint.url, "events": ALL, **more})
    assert answer.status == 201, answer.body
    endpoint.secrets.append(answer.json["secret"])
    return dict(answer.json)


def sent(client: Rest, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    return list(client.call("GET", f"/webhooks/{webhook['id']}/deliveries").json["items"])


def test_every_event_is_reported_once_signed_and_in_the_list_of_events(client: Rest, endpoint: Receiver) -> None:
    webhook = created(client, endpoint)
    platform = client.call(
        "POST", "/exports/platforms", {"name": "gone", "platform_type": "sftp", "config": UNREACHABLE}
    ).json["id"]
    done = client.ended(client.export("csv", {"platform_ids": [platform]}).json["id"])
    path = f"/exports/jobs/{done['id']}/deliveries"
    eventually("its delivery exists", lambda: client.call("GET", path).json["items"])
    client.call("DELETE", f"/exports/platforms/{platform}")  # which fails the delivery
    received = eventually("both are reported", lambda: len(endpoint.requests) == 2 and endpoint.requests)
    assert {request.type for request in received} == {"export.completed", "delivery.failed"}
    assert all(request.signed_by == (webhook["secret"],) for request in received)
    [completed] = endpoint.of("export.completed")
    assert completed.body["data"] == {
        "job_id": done["id"],
        "status": "completed",
        "format": "csv",
        "total_records": 10,
    }
    assert completed.body["timestamp"] == done["completed_at"]
    [failed] = endpoint.of("delivery.failed")
    assert failed.body["data"]["error_code"] == "platform_deleted"
    assert failed.body["data"]["job_id"] == done["id"]
    events = client.call("GET", "/events").json
    listed = {event["id"]: event for event in events["items"]}
    for request in received:
        event = listed[request.id]
        assert (event["type"], event["data"]) == (request.type, request.body["data"])
        assert (event["sequence"], event["timestamp"]) == (request.body["sequence"], request.body["timestamp"])
    assert [event["sequence"] for event in events["items"]] == list(range(1, len(listed) + 1))
    assert client.call("GET", f"/events?after={events['next_after']}").json["items"] == []
    messages = eventually(
        "both are delivered",
        lambda: (found := sent(client, webhook)) and all(one["status"] == "delivered" for one in found) and found,
    )
    assert {message["event_id"] for message in messages} == set(listed)
    assert [attempt["status_code"] for message in messages for attempt in message["attempts"]] == [204, 204]


def test_only_what_a_webhook_asks_for_is_reported_and_nothing_while_it_is_inactive(
    client: Rest, endpoint: Receiver
) -> None:
    webhook = created(client, endpoint, events=["export.completed"], is_active=False)
    created(client, endpoint, events=["export.cancelled"])
    silent = client.ended(client.export("csv").json["id"])
    eventually("it is recorded", lambda: silent["id"] in client.call("GET", "/events?limit=200").body.decode())
    changed = client.call("PATCH", f"/webhooks/{webhook['id']}", {"is_active": True}).json
    assert (changed["events"], changed["is_active"]) == (["export.completed"], True)
    last = client.ended(client.export("csv").json["id"])
    eventually("one is reported", lambda: endpoint.requests)
    assert [request.body["data"]["job_id"] for request in endpoint.requests] == [last["id"]]


def test_an_event_or_a_time_range_is_sent_again_under_the_same_id(client: Rest, endpoint: Receiver) -> None:
    webhook = created(client, endpoint, events=["export.completed"])
    jobs = [client.ended(client.export("csv").json["id"]) for _ in range(2)]
    eventually("both are reported", lambda: len(endpoint.requests) == 2)
    first = endpoint.requests[0]
    path = f"/webhooks/{webhook['id']}/replay"
    answer = client.call("POST", path, {"event_id": first.id})
    assert (answer.status, answer.json) == (202, {"events": 1})
    eventually("it is sent again", lambda: [request.id for request in endpoint.requests].count(first.id) == 2)
    assert client.call("POST", path, {"since": jobs[0]["completed_at"]}).json["events"] == 2
    eventually("both are sent again", lambda: len(endpoint.requests) == 5)
    assert len(endpoint.accepted) == 2
    problem(client.call("POST", path, {"event_id": "evt_none"}), 404, "event_not_found")
    problem(client.call("POST", path, {}), 422, "invalid_request", "since")
    both = {"event_id": first.id, "since": jobs[0]["completed_at"]}
    problem(client.call("POST", path, both), 422, "invalid_request", "event_id")


def test_after_a_rotation_both_secrets_are_valid(client: Rest, endpoint: Receiver) -> None:
    webhook = created(client, endpoint, events=["export.completed"])
    rotated = client.call("POST", f"/webhooks/{webhook['id']}/rotate-secret").json
    assert rotated["secret"] != webhook["secret"]
    assert "previous_secret_expires_at" in rotated
    endpoint.secrets.append(rotated["secret"])
    tested = client.call("POST", f"/webhooks/{webhook['id']}/test").json
    assert (tested["ok"], tested["status_code"]) == (True, 204)
    [request] = endpoint.requests
    assert (request.type, request.signed_by) == ("webhook.test", (webhook["secret"], rotated["secret"]))


def test_a_failed_test_is_a_result(client: Rest, endpoint: Receiver) -> None:
    webhook = created(client, endpoint)
    path = f"/webhooks/{webhook['id']}/test"
    endpoint.status, endpoint.headers = 307, {"Location": "http://127.0.0.1/elsewhere"}
    redirected = client.call("POST", path).json
    assert (redirected["ok"], redirected["status_code"]) == (False, 307)
    assert "redirects" in redirected["error"]
    client.call("PATCH", f"/webhooks/{webhook['id']}", {"url": "http://10.1.2.3/"})
    internal = client.call("POST", path).json
    assert "10.1.2.3" in internal["error"]
    assert "EGRESS_ALLOW" in internal["error"]
    assert "status_code" not in internal


def test_a_repeated_request_makes_one_webhook_and_returns_its_secret(client: Rest, endpoint: Receiver) -> None:
    body, headers = {"url": endpoint.url, "events": ["export.failed"]}, {"Idempotency-Key": "one-hook"}
    first = client.call("POST", "/webhooks", body, headers=headers)
    again = client.call("POST", "/webhooks", body, headers=headers)
    assert (again.status, again.json) == (201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    problem(client.call("POST", "/webhooks", {**body, "events": ALL}, headers=headers), 422, "idempotency_key_reused")
    one = client.call("GET", first.headers["location"].removeprefix("/api/v1")).json
    assert one == {name: value for name, value in first.json.items() if name != "secret"}
    listed = client.call("GET", "/webhooks").json["items"]
    assert one in listed
    assert client.call("GET", "/limits").json["webhooks"] == {"used": len(listed), "limit": 20}
    assert client.call("DELETE", f"/webhooks/{one['id']}").status == 204
    problem(client.call("GET", f"/webhooks/{one['id']}"), 404, "webhook_not_found")


@pytest.mark.parametrize(("body", "field"), PROBLEMS, ids=lambda value: str(value) if isinstance(value, str) else "")
def test_an_invalid_webhook_is_refused_by_the_name_of_the_field(client: Rest, body: dict[str, Any], field: str) -> None:
    answer = client.call("POST", "/webhooks", body)
    assert answer.status == 422, answer.body
    assert [error["field"] for error in answer.json["errors"]] == [field]


def test_a_tenant_sees_neither_the_webhooks_nor_the_events_of_another(
    system: System, client: Rest, endpoint: Receiver
) -> None:
    webhook = created(client, endpoint)
    other = Rest(system.url, system.key("other-hooks"))
    assert other.call("GET", "/webhooks").json["items"] == []
    assert other.call("GET", "/events").json == {"items": [], "next_after": 0}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
        problem(other.call(method, f"/webhooks/{webhook['id']}{path}"), 404, "webhook_not_found")
    problem(client.call("GET", "/events?after=-1"), 422, "invalid_query", "after")


def test_changes_of_webhooks_are_in_the_audit_log(client: Rest, endpoint: Receiver) -> None:
    webhook = created(client, endpoint)

    def recorded() -> bool:
        answer = client.call("GET", f"/audit?resource_type=webhook&resource_id={webhook['id']}")
        assert answer.status == 200, answer
        return [one["action"] for one in answer.json["items"]] == ["webhook.create"]

    eventually("the creation is recorded", recorded)
