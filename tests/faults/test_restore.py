"""MongoDB restored to an older point, and NATS lost: what docs/operations.md says of it, in "Back up and restore"."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.destinations.rigs.sftp import SftpRig
from tests.rest import Rest
from tests.system import ROOT, System, eventually, running

TENANT = "shop"


@pytest.fixture
def rig() -> Iterator[SftpRig]:
    made = SftpRig()
    made.start()
    made.clear()
    yield made
    made.stop()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    folder = tmp_path / "system"
    with running(folder, with_delivery=True, SWEEP_SECONDS="1", RECONCILE_SECONDS="1", DISPATCH_SECONDS="2") as started:
        yield started


def delivered(client: Rest, job_id: str) -> dict[str, Any]:
    """The job's only delivery once it is delivered."""

    def found() -> dict[str, Any] | None:
        items = client.call("GET", f"/exports/jobs/{job_id}/deliveries").json["items"]
        assert len(items) <= 1, items
        return items[0] if items and items[0]["status"] == "delivered" else None

    one: dict[str, Any] = eventually("the file is delivered", found)
    return one


def finished(client: Rest, key: str) -> dict[str, Any]:
    """A completed and delivered export with this idempotency key."""
    answer = client.export("csv", {"file_name": f"catalogue {key}"}, key=key)
    assert answer.status == 202, answer
    job: dict[str, Any] = client.ended(answer.json["id"])
    assert job["status"] == "completed", job
    delivered(client, job["id"])
    return job


def revoke(system: System, key: str) -> None:
    command = [sys.executable, "-m", "services.gateway.auth.keys", "revoke", key]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "MONGODB_URI": system.mongod.uri}, check=True)


def stop(system: System) -> None:
    for process in (system.gateway, system.delivery, system.exporter):
        process.end()
    system.nats.stop()
    system.mongod.stop()


def start(system: System) -> None:
    system.mongod.start()
    system.nats.start()
    for process in (system.exporter, system.delivery, system.gateway):
        process.start()
    system.wait_ready()


@pytest.mark.full
def test_an_older_database_and_an_empty_nats_end_in_the_same_files_at_the_platform(
    system: System, rig: SftpRig, tmp_path: Path
) -> None:
    system.fill(TENANT, [{"_id": n, "sku": f"S-{n}"} for n in range(50)])
    client = system.client(TENANT)
    platform = {"name": "Shop", "platform_type": "sftp", "config": rig.config()}
    assert client.call("POST", "/exports/platforms", platform).status == 201
    revoked = Rest(system.url, system.key(TENANT))
    before = finished(client, "before")

    stop(system)
    shutil.copytree(system.mongod.folder, tmp_path / "backup")
    start(system)
    after = finished(client, "after")
    revoke(system, revoked.key)
    eventually("the key is refused", lambda: revoked.call("GET", "/exports/jobs").status == 401)
    assert client.call("DELETE", f"/exports/jobs/{before['id']}").status == 204

    stop(system)
    shutil.rmtree(system.mongod.folder)
    shutil.rmtree(system.nats.folder)
    shutil.copytree(tmp_path / "backup", system.mongod.folder)
    start(system)

    # What was deleted is back, without its file; what came later is gone, and its file is swept.
    assert client.job(before["id"])["status"] == "completed"
    assert client.download(before["id"]).status == 410
    assert client.call("GET", f"/exports/jobs/{after['id']}").status == 404
    folder = system.folder / "artifacts" / TENANT / after["id"]
    eventually("the file of the unknown job is swept", lambda: not list(folder.rglob("export*")))

    # The client asks again as it did, and gets the same job; its file takes the place of the one that was there.
    again = finished(client, "after")
    assert (again["id"], again["sha256"]) == (after["id"], after["sha256"])
    assert delivered(client, before["id"])
    assert sorted(rig.files()) == ["catalogue after.csv", "catalogue before.csv"]
    assert revoked.call("GET", "/exports/jobs").status == 200  # so the page says: revoke it again
