"""Files with changes over REST: single exports, and a schedule whose platform loses some of them."""

import csv
import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.destinations.rigs.sftp import SftpRig
from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually

COLUMNS = ["id", "sku", "price"]
YEARLY = "0 0 1 1 *"


@pytest.fixture(scope="module")
def rig() -> Iterator[SftpRig]:
    """An SFTP server to deliver to."""
    server = SftpRig()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tenant(system: System) -> str:
    """A tenant with a small catalogue."""
    name = f"deltas-{uuid.uuid4().hex[:8]}"
    system.fill(name, [{"_id": f"p{n}", "sku": f"S-{n}", "price": n} for n in range(5)])
    return name


def change(system: System, tenant: str, product: str, **fields: Any) -> None:
    with system.mongo() as client:
        client[f"catalogue_{tenant}"]["products"].update_one({"_id": product}, {"$set": fields}, upsert=True)


def remove(system: System, tenant: str, product: str) -> None:
    with system.mongo() as client:
        client[f"catalogue_{tenant}"]["products"].delete_one({"_id": product})


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_an_export_has_the_changes_since_another_one(system: System, tenant: str) -> None:
    client = system.client(tenant)
    options = {"include_fields": COLUMNS}
    first, _ = client.file("csv", {**options, "manifest": True})
    assert first["has_manifest"] is True
    change(system, tenant, "p1", price=10)
    change(system, tenant, "p9", sku="S-9", price=9)
    remove(system, tenant, "p2")
    second, content = client.file("csv", {**options, "changes_since": first["id"]})
    assert sorted(content.splitlines()) == sorted(
        [b"\xef\xbb\xbf_change,id,sku,price", b"changed,p1,S-1,10", b"added,p9,S-9,9", b"deleted,p2,,"]
    )
    assert second["records"] == {"products": 3, "added": 1, "changed": 1, "deleted": 1, "unchanged": 3}
    assert second["total_records"] == 3
    base = (second["base_job_id"], second["base_sha256"], second["changes_number"])
    assert base == (first["id"], first["sha256"], 1)
    assert json.loads(json.dumps(second["options"]))["changes_since"] == first["id"]


def test_a_job_that_cannot_be_compared_with_is_a_conflict_that_says_what_to_do(system: System, tenant: str) -> None:
    client = system.client(tenant)
    plain, _ = client.file("csv", {})
    answer = client.export("csv", {"changes_since": plain["id"]})
    assert "manifest: true" in problem(answer, 409, "baseline_missing")["detail"]
    preflight = client.call("POST", "/exports/csv/products/preflight", {"changes_since": plain["id"]}).json
    assert [(one["field"], one["message"]) for one in preflight["problems"]] == [
        ("changes_since", answer.json["detail"])
    ]
    kept, _ = client.file("csv", {"manifest": True})
    answer = client.export("csv", {"changes_since": kept["id"], "delimiter": ";"})
    problem(answer, 409, "baseline_differs")
    full, content = client.file("csv", {"changes_since": plain["id"], "on_missing_baseline": "full"})
    assert [warning["code"] for warning in full["warnings"]] == ["full_export"]
    assert len(rows(content)) == 5
    answer = client.export("excel", {"manifest": True})
    assert answer.status == 422


class Chain:
    """A schedule with changes, and what its receiver has."""

    def __init__(self, client: Rest, rig: SftpRig, **more: Any) -> None:
        self.client = client
        platform = {"name": "Shop", "platform_type": "sftp", "config": rig.config()}
        answer = client.call("POST", "/exports/platforms", platform)
        assert answer.status == 201, answer
        self.platform = answer.json["id"]
        body: Any = {"platform_id": self.platform, "schedule_name": "Changes", "cron_expression": YEARLY}
        body |= {"changes": True, "options": {"include_fields": COLUMNS, "file_name": "{job}"}, **more}
        answer = client.call("POST", "/exports/schedules", body)
        assert answer.status == 201, answer
        self.path = f"/exports/schedules/{answer.json['id']}"

    def run(self) -> Any:
        """The job of a run, once it is completed."""
        answer = self.client.call("POST", f"{self.path}/run")
        assert answer.status == 202, answer

        def completed() -> Any:
            found = self.client.call("GET", f"/exports/jobs/{answer.json['job_id']}")
            return found.status == 200 and found.json["status"] == "completed" and found.json

        return eventually("the run is completed", completed)

    def delivery(self, job: Any) -> Any:
        """The state in which the delivery of a job has ended."""

        def ended() -> Any:
            items = self.client.call("GET", f"/exports/jobs/{job['id']}/deliveries").json["items"]
            return items and items[0]["status"] in ("delivered", "failed") and items[0]["status"]

        return eventually("the delivery has ended", ended)

    def baseline(self) -> Any:
        return self.client.call("GET", f"{self.path}/baseline").json

    def activate(self, *, is_active: bool) -> None:
        """A platform that is not active refuses its deliveries."""
        answer = self.client.call("PATCH", f"/exports/platforms/{self.platform}", {"is_active": is_active})
        assert answer.status == 200, answer

    def receipt(self, job: Any) -> Any:
        """Of the delivery of a job."""
        return self.client.call("GET", f"/exports/jobs/{job['id']}/deliveries").json["items"][0]["receipt"]

    def content(self, job: Any) -> dict[str, str]:
        """What happened to each product in a job's file."""
        found = rows(self.client.download(job["id"]).body)
        return {row["id"]: row.get("_change", "") for row in found}


def test_a_schedule_sends_the_net_change_since_the_last_confirmed_delivery(
    system: System, tenant: str, rig: SftpRig
) -> None:
    chain = Chain(system.client(tenant), rig)
    assert chain.baseline() == {}
    first = chain.run()
    assert chain.delivery(first) == "delivered"
    assert chain.baseline()["job_id"] == first["id"]
    change(system, tenant, "p1", price=10)
    second = chain.run()
    assert chain.content(second) == {"p1": "changed"}
    assert (second["base_job_id"], second["base_sha256"]) == (first["id"], first["sha256"])
    assert chain.delivery(second) == "delivered"
    receipts = [chain.receipt(job) for job in (first, second)]
    assert [(one.get("base_job_id"), one.get("base_sha256"), one.get("changes_number")) for one in receipts] == [
        (None, None, None), (first["id"], first["sha256"], 1),
    ]  # fmt: skip
    assert chain.baseline() == {
        "job_id": second["id"], "sha256": second["sha256"], "number": 1, "completed_at": second["completed_at"],
    }  # fmt: skip
    chain.activate(is_active=False)
    change(system, tenant, "p2", price=20)
    remove(system, tenant, "p3")
    lost = chain.run()
    assert chain.content(lost) == {"p2": "changed", "p3": "deleted"}
    assert chain.delivery(lost) == "failed"
    assert chain.baseline()["job_id"] == second["id"]
    chain.activate(is_active=True)
    change(system, tenant, "p2", price=2)
    change(system, tenant, "p4", price=40)
    net = chain.run()
    assert chain.content(net) == {"p3": "deleted", "p4": "changed"}
    assert (net["base_job_id"], net["changes_number"]) == (second["id"], 2)
    assert chain.delivery(net) == "delivered"
    assert chain.client.call("POST", f"{chain.path}/baseline/reset").status == 204
    assert chain.baseline() == {}
    full = chain.run()
    assert chain.content(full) == dict.fromkeys(["p0", "p1", "p2", "p4"], "")


def test_a_schedule_skips_empty_files_and_makes_full_ones_now_and_then(
    system: System, tenant: str, rig: SftpRig
) -> None:
    chain = Chain(system.client(tenant), rig, empty="skip", full_every=2)
    shown = chain.client.call("GET", chain.path).json
    assert (shown["changes"], shown["empty"], shown["full_every"]) == (True, "skip", 2)
    first = chain.run()
    assert chain.delivery(first) == "delivered"
    empty = chain.run()
    assert empty["records"] == {"products": 0, "added": 0, "changed": 0, "deleted": 0, "unchanged": 5}
    change(system, tenant, "p1", price=10)
    second = chain.run()
    assert (second["base_job_id"], second["changes_number"]) == (first["id"], 1)
    assert chain.client.call("GET", f"/exports/jobs/{empty['id']}/deliveries").json["items"] == []
    assert chain.delivery(second) == "delivered"
    third = chain.run()
    assert chain.content(third) == dict.fromkeys(["p0", "p1", "p2", "p3", "p4"], "")
    answer = chain.client.call("PATCH", chain.path, {"changes": False})
    assert (answer.status, "changes" in answer.json) == (200, False)


def test_a_schedule_of_a_format_without_manifests_cannot_send_changes(
    system: System, tenant: str, rig: SftpRig
) -> None:
    chain = Chain(system.client(tenant), rig)
    for form, options in (("excel", {}), ("csv", {"include_fields": ["sku"]})):
        answer = chain.client.call("PATCH", chain.path, {"format": form, "options": options, "changes": True})
        assert answer.status == 422, answer
