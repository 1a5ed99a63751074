"""The audit log over REST: who did what, from where, with what result; also of a process that was killed."""

import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from deploy.local.servers.ports import free_port
from services.audited import ACTIONS
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc
from tests.gateways import gateway
from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually

TENANT = "audit"
NOWHERE = {"host": "127.0.0.1", "port": 1, "username": "u", "password": "p"}


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill(TENANT, [{"_id": "1", "sku": "A"}])
    return system.client(TENANT)


def key_id(client: Rest) -> str:
    return client.key.split("_")[1]


def entries(client: Rest, query: str, count: int = 1) -> list[dict[str, Any]]:
    """The entries that a query finds, once there are so many and all have a result."""

    def found() -> list[dict[str, Any]] | None:
        answer = client.call("GET", f"/audit?{query}")
        assert answer.status == 200, answer
        items: list[dict[str, Any]] = answer.json["items"]
        return items if len(items) == count and "unknown" not in {one["result"] for one in items} else None

    items: list[dict[str, Any]] = eventually(f"{count} entries of {query}", found)
    return items


def test_an_export_is_recorded_with_key_address_and_request(shop: Rest) -> None:
    answer = shop.call("POST", "/exports/csv/products", {"utf8_bom": False}, headers={"X-Request-Id": "nightly-7"})
    job_id = answer.json["id"]
    [entry] = entries(shop, f"resource_type=job&resource_id={job_id}&action=job.create")
    assert entry["at"] <= entry["ended_at"]
    del entry["id"], entry["at"], entry["ended_at"]
    assert entry == {
        "action": "job.create",
        "resources": [{"type": "job", "id": job_id}],
        "fields": ["format", "options.utf8_bom"],
        "caller": "gateway",
        "key_id": key_id(shop),
        "address": "127.0.0.1",
        "request_id": "nightly-7",
        "result": "ok",
    }


def test_refused_changes_are_recorded_where_the_key_is_known(system: System, shop: Rest) -> None:
    reader = Rest(system.url, system.key(TENANT, "exports:read"))
    job_id = str(uuid.uuid4())
    problem(reader.call("DELETE", f"/exports/jobs/{job_id}"), 403, "missing_scope")
    problem(reader.call("POST", "/exports/csv/products", raw=b"{"), 403, "missing_scope")
    problem(shop.call("POST", "/exports/platforms", {"name": "x"}), 422, "invalid_request", field="platform_type")
    problem(shop.call("POST", f"/exports/jobs/{job_id}/retry"), 404, "job_not_found")
    found = entries(shop, f"key_id={key_id(reader)}", count=2)
    assert {(one["action"], one["result"], one["code"]) for one in found} == {
        ("job.delete", "refused", "missing_scope"),
        ("job.create", "refused", "missing_scope"),
    }
    [delete] = entries(shop, f"resource_id={job_id}&action=job.delete")
    assert delete["resources"] == [{"type": "job", "id": job_id}]
    [retry] = entries(shop, f"resource_id={job_id}&result=refused&action=job.retry")
    assert retry["code"] == "job_not_found"
    [create] = entries(shop, "action=platform.create&result=refused")
    assert create["code"] == "invalid_request"


def test_keys_are_recorded_with_their_operator(system: System, shop: Rest) -> None:
    made = system.client(TENANT)
    [entry] = entries(shop, f"resource_type=key&resource_id={key_id(made)}")
    assert (entry["action"], entry["caller"], entry["result"]) == ("key.create", "operator", "ok")
    assert "@" in entry["address"] and entry["fields"] == ["scopes", "name"]


def test_the_fires_of_a_schedule_are_the_schedulers(shop: Rest) -> None:
    platform = shop.call("POST", "/exports/platforms", {"name": "P", "platform_type": "ftp", "config": NOWHERE})
    body = {"platform_id": platform.json["id"], "schedule_name": "S", "cron_expression": "0 0 1 1 *"}
    schedule = shop.call("POST", "/exports/schedules", body).json["id"]
    run = shop.call("POST", f"/exports/schedules/{schedule}/run")
    assert run.status == 202, run
    [asked] = entries(shop, f"action=schedule.run&resource_id={schedule}")
    [fired] = entries(shop, f"action=job.create&resource_id={schedule}")
    assert (asked["caller"], asked["key_id"]) == ("gateway", key_id(shop))
    assert fired["caller"] == "scheduler" and "key_id" not in fired and "address" not in fired
    assert fired["resources"] == [{"type": "job", "id": run.json["id"]}, {"type": "schedule", "id": schedule}]
    assert fired["resources"][0] in asked["resources"]
    made = entries(shop, f"resource_type=platform&resource_id={platform.json['id']}", count=2)
    assert [one["action"] for one in made] == ["schedule.create", "platform.create"]


def test_a_tenant_sees_only_its_own_entries_and_needs_the_scope(system: System, shop: Rest) -> None:
    other = system.client("audit-other")
    [entry] = entries(other, "limit=200")
    assert entry["action"] == "key.create"
    writer = Rest(system.url, system.key(TENANT, "exports:write,exports:read"))
    problem(writer.call("GET", "/audit"), 403, "missing_scope", words="audit:read")
    auditor = Rest(system.url, system.key(TENANT, "audit:read"))
    assert auditor.call("GET", "/audit").status == 200


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "until=2026-03-15", "action=job.read", "result=bad", "resource_type=tenant", "key_id=", "x=1"],
)
def test_a_wrong_filter_is_rejected(shop: Rest, query: str) -> None:
    problem(shop.call("GET", f"/audit?{query}"), 422, "invalid_query", field=query.split("=")[0])


def test_the_pages_hold_every_entry_once_newest_first(shop: Rest) -> None:
    for _ in range(5):
        shop.call("POST", f"/exports/jobs/{uuid.uuid4()}/cancel")
    assert len(entries(shop, "action=job.cancel&limit=200", count=5)) == 5
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = shop.call("GET", f"/audit?action=job.cancel&limit=2{cursor and f'&cursor={cursor}'}").json
        seen += page["items"]
        cursor = page["next_cursor"]
    assert len({one["id"] for one in seen}) == len(seen) == 5
    assert [one["at"] for one in seen] == sorted((one["at"] for one in seen), reverse=True)
    problem(shop.call("GET", "/audit?cursor=x"), 422, "invalid_request", field="cursor")


def test_the_client_behind_a_trusted_proxy_is_recorded(system: System, shop: Rest) -> None:
    with gateway(system, "gateway-audit", TRUSTED_PROXIES="127.0.0.0/8") as other:
        client = other.client(shop.key)
        job_id = str(uuid.uuid4())
        client.call("POST", f"/exports/jobs/{job_id}/cancel", headers={"X-Forwarded-For": "2001:db8::7"})
    [entry] = entries(shop, f"resource_id={job_id}")
    assert entry["address"] == "2001:db8::7"


@contextmanager
def blocked(system: System, job_id: str) -> Iterator[None]:
    """Nobody can store the job with this id, because an open transaction holds its document."""
    with system.mongo() as client, client.start_session() as session, session.start_transaction():
        client["exporter"]["jobs"].insert_one({"_id": job_id}, session=session)
        yield
        session.abort_transaction()


def test_a_process_that_is_killed_during_a_change_leaves_its_entry(system: System, shop: Rest) -> None:
    port, job_id = free_port(), str(uuid.uuid4())
    process = system.service("services.exporter", "exporter-audit", GRPC_PORT=str(port), WORKER_JOBS="0")
    process.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(60)
        with blocked(system, job_id):
            request = pb.CreateJobRequest(tenant=TENANT, format="csv", job_id=job_id)
            call = exporter_pb2_grpc.ExporterServiceStub(channel).CreateJob.future(request, timeout=120)
            where = f"/audit?resource_id={job_id}"
            [entry] = eventually("received", lambda: shop.call("GET", where).json["items"])
            process.end(signal.SIGKILL)
        assert isinstance(call.exception(timeout=60), grpc.RpcError)
    assert (entry["result"], entry["caller"]) == ("unknown", "unauthenticated")
    assert shop.call("GET", where).json["items"] == [entry]
    assert entry in shop.call("GET", "/audit?result=unknown").json["items"]


def test_entries_are_kept_for_a_year_by_default(system: System) -> None:
    def seconds() -> Any:
        with system.mongo() as client:
            return client["audit"]["entries"].index_information().get("at_1", {}).get("expireAfterSeconds")

    assert eventually("the index was created", seconds) == 365 * 86_400


def test_the_document_lists_every_action(system: System) -> None:
    paths = Rest(system.url, "").call("GET", "/openapi.json").json["paths"]
    [action] = [one for one in paths["/api/v1/audit"]["get"]["parameters"] if one["name"] == "action"]
    assert action["schema"]["enum"] == list(ACTIONS)
