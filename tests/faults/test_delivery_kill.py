"""What is promised when the delivery service is killed or away: each file arrives once and whole; nothing is left over.

`DELIVERY_KILLS=20` kills so many times each type, in the middle of 64 MiB; without it a few times in smaller files.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.destinations.rigs import Rig
from tests.contract.destinations.rigs.ftp import FtpRig
from tests.contract.destinations.rigs.gdrive import DriveRig
from tests.contract.destinations.rigs.minio import MinioRig
from tests.contract.destinations.rigs.s3 import S3Rig
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.rest import Rest
from tests.system import System, eventually, running

MIB = 1024 * 1024
FULL = "DELIVERY_KILLS" in os.environ
KILLS = int(os.environ.get("DELIVERY_KILLS", "5"))
SIZE = 64 if FULL else 16
"""MiB of the file."""
KINDS = ["sftp", "ftp", "s3", "gdrive", *(["minio"] if FULL else [])]
EXPORTS = 500


def rig_of(kind: str) -> Rig:
    """A server of this type."""
    made: dict[str, Rig] = {
        "sftp": SftpRig(),
        "ftp": FtpRig(),
        "s3": S3Rig(),
        "minio": MinioRig(),
        "gdrive": DriveRig("service"),
    }
    return made[kind]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with deliveries, whose leases are short; the rules are the same."""
    folder = tmp_path_factory.mktemp("delivering")
    settings: dict[str, Any] = {
        "LEASE_SECONDS": "1.5",
        "RETRY_SECONDS": "0.2",
        "RECONCILE_SECONDS": "2",
        "DELIVERY_SLOTS": "8",
    }
    with running(folder, with_delivery=True, PLATFORM_SLOTS="8", **settings) as started:
        yield started


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The server of the type in `request.param`."""
    started = rig_of(request.param)
    started.start()
    started.clear()
    yield started
    started.stop()


def platform(client: Rest, kind: str, config: dict[str, Any], name: str) -> str:
    """A new platform that names files like this."""
    body = {"name": name, "platform_type": kind, "config": {**config, "file_name": name}}

    def made() -> Any:
        answer = client.call("POST", "/exports/platforms", body)
        assert answer.status in (201, 503), answer  # 503: the gateway has not found the service again yet
        return answer.json["id"] if answer.status == 201 else None

    return str(eventually("the platform is registered", made))


def delivered(client: Rest, job_id: str, platform_id: str) -> Any:
    """The job's delivery to the platform once it is delivered."""

    def is_done() -> Any:
        answer = client.call("GET", f"/exports/jobs/{job_id}/deliveries?limit=200")
        if answer.status == 503:
            return None
        assert answer.status == 200, answer
        found = next(one for one in answer.json["items"] if one["platform_id"] == platform_id)
        assert found["status"] != "failed", found
        return found if found["status"] == "delivered" else None

    return eventually("delivered", is_done, within=90)


def wait_until_taken(system: System, platform_id: str) -> None:
    with system.mongo() as client:
        deliveries = client["delivery"]["deliveries"]
        deadline = time.monotonic() + 20
        while not deliveries.find_one({"platform_id": platform_id, "state": {"$ne": "pending"}}):
            assert time.monotonic() < deadline, "nobody has taken the delivery"


@pytest.mark.timeout(60 + 60 * KILLS)
@pytest.mark.parametrize(("kind", "rig"), [(kind, kind) for kind in KINDS], indirect=["rig"])
def test_killed_at_random_moments_an_upload_ends_as_one_whole_file(system: System, kind: str, rig: Rig) -> None:
    client = system.client(kind)
    noise = random.Random(kind)
    system.fill(kind, [{"_id": n, "text": noise.randbytes(MIB // 2).hex()} for n in range(SIZE)])
    job, file = client.file("csv", {"platform_ids": []})
    path = f"/exports/jobs/{job['id']}/deliveries"
    whole = platform(client, kind, rig.config(), "whole")
    client.call("POST", path, {"platform_id": whole})
    seconds = delivered(client, job["id"], whole)["receipt"]["seconds"]
    expected = {"whole.csv": file}
    broken_off = 0
    for number in range(KILLS):
        target = platform(client, kind, rig.config(), f"killed_{number}")
        assert client.call("POST", path, {"platform_id": target}).status == 202
        wait_until_taken(system, target)
        time.sleep(noise.uniform(0, seconds))
        system.delivery.end(signal.SIGKILL)
        system.delivery.start()
        done = delivered(client, job["id"], target)
        broken_off += done["attempts"][0].get("error", {}).get("code") == "interrupted"
        expected[f"killed_{number}.csv"] = file
        assert rig.files() == expected
        assert rig.leftovers() == []
        system.wait_ready()
    assert broken_off > 0


@pytest.mark.timeout(600)  # a busy machine exports and delivers a few a second
@pytest.mark.parametrize("rig", ["s3"], indirect=True)
def test_exports_that_completed_while_delivery_was_away_and_events_were_lost_are_delivered_once(
    system: System, rig: S3Rig
) -> None:
    client = system.client("shop")
    system.fill("shop", [{"_id": n, "sku": f"S-{n}"} for n in range(3)])
    platform(client, "s3", rig.config(), "{job}")
    system.delivery.end(signal.SIGKILL)
    ids = [client.export("csv").json["id"] for _ in range(EXPORTS)]
    with system.mongo() as mongo:
        jobs, completed = mongo["exporter"]["jobs"], {"_id": {"$in": ids}, "state": "completed"}
        eventually("all are completed", lambda: jobs.count_documents(completed) == EXPORTS, within=120)
    system.nats.kill()
    shutil.rmtree(system.folder / "nats")
    system.nats.start()
    rig.door.asked.clear()
    # A lease that a busy machine cannot lose: what is shown here is that nothing is taken twice without need.
    port = str(system.delivery_port)
    system.delivery = system.service(system.delivery.module, "delivery", GRPC_PORT=port, LEASE_SECONDS="60")
    system.delivery.start()
    system.wait_ready()
    with system.mongo() as mongo:
        deliveries, done = mongo["delivery"]["deliveries"], {"tenant": "shop", "state": "delivered"}
        eventually("all are delivered", lambda: deliveries.count_documents(done) == EXPORTS, within=300)
        documents = list(deliveries.find({"tenant": "shop"}))
    assert {document["job_id"] for document in documents} == set(ids)
    assert len(documents) == EXPORTS
    assert {(document["fence"], document["receipt"]["was_there"]) for document in documents} == {(1, False)}
    writes = Counter(path for method, path, _ in rig.door.asked if method in ("PUT", "POST"))
    assert len(writes) == EXPORTS
    assert set(writes.values()) == {1}
    assert set(rig.files()) == {f"{job_id}.csv" for job_id in ids}
