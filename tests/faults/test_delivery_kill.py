"""The delivery service is killed or away: each file still arrives once and whole, and nothing else is left behind."""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.destinations.rigs import Rig
from tests.contract.destinations.rigs._moto import MotoRig
from tests.contract.destinations.rigs.ftp import FtpRig
from tests.contract.destinations.rigs.gdrive import DriveRig
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.rest import Rest
from tests.system import System, eventually, running

MIB = 1024 * 1024
SIZE, FULL_SIZE = 16, 32
"""MiB of the file."""
FULL_KILLS = 6
MAX_KILLS = 20
KINDS = ["sftp", "ftp", "s3", "gdrive"]
RIGS: dict[str, Callable[[], Rig]] = {
    "sftp": SftpRig,
    "ftp": FtpRig,
    "s3": MotoRig,
    "gdrive": lambda: DriveRig("service"),
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with deliveries, whose leases are short; the rules are the same."""
    folder = tmp_path_factory.mktemp("delivering")
    settings: dict[str, Any] = {
        "DELIVERY_LEASE_SECONDS": "1.5",
        "DELIVERY_RETRY_SECONDS": "0.2",
        "RECONCILE_SECONDS": "2",
        "DELIVERY_SLOTS": "8",
    }
    with running(folder, with_delivery=True, PLATFORM_SLOTS="8", **settings) as started:
        yield started


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The server of the type in `request.param`."""
    started = RIGS[request.param]()
    started.start()
    started.clear()
    yield started
    started.stop()


def platform(client: Rest, kind: str, config: dict[str, Any], name: str) -> str:
    """A new platform that names files like this."""
    body = {"name": name, "platform_type": kind, "config": {**config, "file_name": name}}

    def made() -> Any:
        answer = client.call("POST", "/exports/platforms", body)
        assert answer.status in (201, 503), answer  # 503: the gateway has not reconnected to the service yet
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

    return eventually("delivered", is_done)


def wait_until_taken(system: System, platform_id: str) -> None:
    with system.mongo() as client:
        taken = {"platform_id": platform_id, "state": {"$ne": "pending"}}
        eventually("taken", lambda: client["delivery"]["deliveries"].find_one(taken), every=0.005)


class Victim:
    """A job's file whose uploads are interrupted by killing the delivery service."""

    def __init__(self, system: System, kind: str, rig: Rig, mebibytes: int) -> None:
        self._system, self._kind, self._rig = system, kind, rig
        tenant = f"{kind}-{mebibytes}"
        self._client = system.client(tenant)
        self._noise = random.Random(kind)
        documents = [{"_id": n, "text": self._noise.randbytes(MIB // 2).hex()} for n in range(mebibytes)]
        system.fill(tenant, documents)
        system.start()  # another test may have left the delivery service stopped
        self._job, self._file = self._client.file("csv", {"platform_ids": []})
        whole = self._upload("whole")
        self._seconds = delivered(self._client, self._job["id"], whole)["receipt"]["seconds"]
        self._expected = {"whole.csv": self._file}

    def killed(self, number: int) -> bool:
        """Kill during one more upload, check what arrives, and return whether the kill interrupted the upload."""
        name = f"killed_{number}"
        target = self._upload(name)
        wait_until_taken(self._system, target)
        time.sleep(self._noise.uniform(0, self._seconds))  # waits for nothing: the moment is random on purpose
        self._system.delivery.end(signal.SIGKILL)
        self._system.delivery.start()
        done = delivered(self._client, self._job["id"], target)
        self._expected[f"{name}.csv"] = self._file
        assert self._rig.files() == self._expected
        assert self._rig.leftovers() == []
        self._system.wait_ready()
        return bool(done["attempts"][0].get("error", {}).get("code") == "interrupted")

    def _upload(self, name: str) -> str:
        target = platform(self._client, self._kind, self._rig.config(), name)
        body = {"platform_id": target}
        answer = self._client.call("POST", f"/exports/jobs/{self._job['id']}/deliveries", body)
        assert answer.status == 202, answer
        return target


@pytest.mark.parametrize("rig", ["sftp"], indirect=True)
def test_an_upload_interrupted_by_a_kill_ends_as_one_whole_file(system: System, rig: Rig) -> None:
    """The next test shows it for all kinds."""
    victim = Victim(system, "sftp", rig, SIZE)
    assert any(victim.killed(number) for number in range(MAX_KILLS))


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "rig"), [(kind, kind) for kind in KINDS], indirect=["rig"])
def test_many_kills_at_random_moments_leave_one_whole_file_each(system: System, kind: str, rig: Rig) -> None:
    victim = Victim(system, kind, rig, FULL_SIZE)
    interrupted = [victim.killed(number) for number in range(FULL_KILLS)]
    assert any(interrupted)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rig", ["s3"], indirect=True)
def test_exports_completed_while_delivery_was_away_and_events_were_lost_are_delivered_once(
    system: System, rig: MotoRig
) -> None:
    tenant, exports = "shop", 200
    client = system.client(tenant)
    system.fill(tenant, [{"_id": n, "sku": f"S-{n}"} for n in range(3)])
    system.start()
    platform(client, "s3", rig.config(), "{job}")
    system.delivery.end(signal.SIGKILL)
    ids = [client.export("csv").json["id"] for _ in range(exports)]
    with system.mongo() as mongo:
        jobs, completed = mongo["exporter"]["jobs"], {"_id": {"$in": ids}, "state": "completed"}
        eventually("all are completed", lambda: jobs.count_documents(completed) == exports, within=120)
    system.nats.kill()
    shutil.rmtree(system.folder / "nats")
    system.nats.start()
    rig.proxy.asked.clear()
    # A lease that a busy machine cannot lose: this test shows that nothing is taken twice without need.
    usual = system.delivery
    system.delivery = system.service(
        usual.module, "delivery", GRPC_PORT=str(system.delivery_port), DELIVERY_LEASE_SECONDS="60"
    )
    system.start()
    with system.mongo() as mongo:
        deliveries, done = mongo["delivery"]["deliveries"], {"tenant": tenant, "state": "delivered"}
        eventually("all are delivered", lambda: deliveries.count_documents(done) == exports, within=300)
        documents = list(deliveries.find({"tenant": tenant}))
    system.delivery.end()
    system.delivery = usual
    assert {document["job_id"] for document in documents} == set(ids)
    assert len(documents) == exports
    assert {(document["fence"], document["receipt"]["was_there"]) for document in documents} == {(1, False)}
    writes = Counter(path for method, path, _ in rig.proxy.asked if method in ("PUT", "POST"))
    assert len(writes) == exports
    assert set(writes.values()) == {1}
    assert set(rig.files()) == {f"{job_id}.csv" for job_id in ids}
