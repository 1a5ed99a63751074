"""What is promised when a process, a server or a message is lost: every accepted job ends once, with the right file."""

import csv
import hashlib
import io
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import copies
from tests.rest import Rest
from tests.system import System, eventually
from tests.tcp_proxy import TcpProxy

MANY = 150_000
"""Rows of an export that takes long enough to be interrupted in its middle."""
KILLS = 3
MIB = 1024 * 1024


def products(count: int) -> list[dict[str, Any]]:
    return [
        {
            "_id": f"p{n:07}",
            "sku": f"S-{n}",
            "name": f"Product {n}, “quoted”",
            "price": n / 4,
            "stock": n,
            "tags": ["a", "b"],
        }
        for n in range(count)
    ]


def large_tenant(system: System) -> str:
    """A tenant with MANY products. All tests share its catalogue; each has its own jobs."""
    with system.mongo() as client:
        copies.fill(client, "large", products(1)[0], MANY)
    return "large"


def is_writing(system: System, job_id: str) -> bool:
    """Whether a part of the job's file is written: the earliest sign of an export in its middle."""
    return any(part.stat().st_size for part in (system.folder / "artifacts").glob(f"*/{job_id}/**/*.part"))


def started(system: System, client: Rest) -> str:
    """The id of an export in its middle."""

    def begun() -> str | None:
        job_id: str = client.export("csv").json["id"]

        def seen() -> bool:
            return is_writing(system, job_id) or document(system, job_id)["state"] == "completed"

        eventually("the export is in the middle, or was", seen, every=0.005)
        return job_id if is_writing(system, job_id) else None

    return str(eventually("an export is in the middle", begun))


def interrupted(system: System, client: Rest, number: int) -> str:
    """The id of a job that this signal to the exporter leaves in its middle; on a busy machine, some end before it."""

    def left() -> str | None:
        job_id = started(system, client)
        if number == signal.SIGKILL:
            system.exporter.end(number)
        else:
            system.exporter.send(number)
        if document(system, job_id)["state"] == "running":
            return job_id
        system.exporter.send(signal.SIGCONT) if system.exporter.pid else system.exporter.start()
        system.wait_ready()
        return None

    return str(eventually("an export is interrupted", left))


def document(system: System, job_id: str) -> dict[str, Any]:
    """The job as it is stored."""
    with system.mongo() as client:
        found = client["exporter"]["jobs"].find_one({"_id": job_id})
    assert found is not None
    return found


def count_jobs(system: System, tenant: str) -> int:
    with system.mongo() as client:
        return client["exporter"]["jobs"].count_documents({"tenant": tenant})


def check(client: Rest, job: dict[str, Any], rows: int) -> None:
    """The job's file is whole: hash, size and rows."""
    answer = client.download(job["id"])
    assert answer.status == 200
    assert hashlib.sha256(answer.body).hexdigest() == job["sha256"]
    assert len(answer.body) == job["file_size"]
    header, *lines = csv.reader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))
    ids = [line[header.index("id")] for line in lines]
    assert len(ids) == len(set(ids)) == rows == job["total_records"]


def test_an_exporter_killed_in_the_middle_leaves_a_job_that_completes_once(system: System) -> None:
    client = system.client(large_tenant(system))
    job_id = interrupted(system, client, signal.SIGKILL)
    system.exporter.start()
    system.wait_ready()
    job = client.ended(job_id)
    assert job["status"] == "completed"
    check(client, job, MANY)
    stored = document(system, job_id)
    assert (stored["fence"], stored["attempt"]) == (2, 2)
    files = [path for path in (system.folder / "artifacts").glob(f"*/{job_id}/**/*") if path.is_file()]
    assert [path.parent.name for path in files if path.suffix == ".csv"] == ["2"]


@pytest.mark.full
def test_a_frozen_exporter_cannot_commit_after_its_lease_is_gone(system: System) -> None:
    client = system.client(large_tenant(system))
    job_id = interrupted(system, client, signal.SIGSTOP)
    other = system.service("services.exporter", "exporter-2", GRPC_PORT="0")
    other.start()
    try:
        eventually("taken over", lambda: document(system, job_id)["fence"] == 2)
        eventually("completed by the other", lambda: document(system, job_id)["state"] == "completed")
        artifact = document(system, job_id)["artifact"]
        system.exporter.send(signal.SIGCONT)
        system.wait_ready()
        eventually("the first one gave up", lambda: gave_up(system.exporter.output, job_id))
        assert document(system, job_id)["artifact"] == artifact
        check(client, client.job(job_id), MANY)
    finally:
        system.exporter.send(signal.SIGCONT)
        other.end()


def gave_up(log: str, job_id: str) -> bool:
    return any("fenced" in line for line in log.splitlines() if job_id in line)


@pytest.mark.full
def test_a_gateway_killed_before_its_answer_leaves_one_job_for_a_repeated_request(system: System) -> None:
    client = system.client("once")
    system.fill("once", products(10))
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.export("csv", key="order-1"))
        except OSError as exc:
            answers.append(exc)

    # The exporter is frozen, so the request cannot be answered before the gateway dies.
    system.exporter.send(signal.SIGSTOP)
    asking = threading.Thread(target=ask)
    asking.start()
    eventually("the request is on its way to the exporter", lambda: unread_bytes(system.rpc_port) > 0)
    system.gateway.end(signal.SIGKILL)
    asking.join()
    assert isinstance(answers[0], OSError), answers
    system.exporter.send(signal.SIGCONT)
    system.gateway.start()
    system.wait_ready()
    repeated = client.export("csv", key="order-1")
    assert repeated.status == 202
    assert client.export("csv", key="order-1").json["id"] == repeated.json["id"]
    assert client.ended(repeated.json["id"])["status"] == "completed"
    assert count_jobs(system, "once") == 1


def unread_bytes(port: int) -> int:
    """Bytes that clients sent to a port of this machine and that its process has not read."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]  # gRPC speaks IPv4 over sockets of IPv6
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


@pytest.mark.full
def test_jobs_accepted_while_nats_loses_its_store_all_complete(system: System) -> None:
    client = system.client("nats")
    system.fill("nats", products(100))
    ids = []
    for number in range(50):
        if number == 10:
            system.nats.kill()
            shutil.rmtree(system.folder / "nats", ignore_errors=True)
        if number == 40:
            system.nats.start()
        answer = client.export("csv")
        assert answer.status == 202, answer
        ids.append(answer.json["id"])
    states = Counter(client.ended(job_id)["status"] for job_id in ids)
    assert states == {"completed": 50}
    assert count_jobs(system, "nats") == 50


@pytest.mark.full
def test_no_accepted_job_is_lost_when_mongod_is_killed_under_load(system: System) -> None:
    client = system.client("mongo")
    system.fill("mongo", products(500))
    accepted: list[str] = []
    refused: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.02):
            answer = client.export("csv")
            (accepted.append(answer.json["id"]) if answer.status == 202 else refused.append(answer.status))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        eventually("some jobs are accepted", lambda: len(accepted) > 10)
        system.mongod.kill()
        system.mongod.start()
        before = len(accepted)
        eventually("more jobs are accepted afterwards", lambda: len(accepted) > before + 10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(refused) <= {503}, Counter(refused)
    states = Counter(client.ended(job_id)["status"] for job_id in accepted)
    assert states == {"completed": len(accepted)}


@pytest.mark.full
def test_a_job_that_kills_its_process_ends_as_failed(system: System) -> None:
    client, usual = system.client(large_tenant(system)), system.exporter
    usual.end()
    with TcpProxy("127.0.0.1", system.mongod.port) as proxy:
        # A catalogue that hangs, so that no attempt ends before its process does.
        catalogue = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        system.exporter = system.service(
            usual.module, "exporter-behind-proxy", GRPC_PORT=str(system.rpc_port), CATALOGUE_URI=catalogue
        )
        try:
            system.start()
            proxy.stall_after(MIB)
            job_id = str(client.export("csv").json["id"])
            with system.mongo() as mongo:
                mongo["exporter"]["jobs"].update_one({"_id": job_id}, {"$set": {"max_attempts": KILLS}})
            for attempt in range(1, KILLS + 1):
                eventually(f"attempt {attempt}", lambda: document(system, job_id)["attempt"] == attempt)  # noqa: B023
                system.exporter.end(signal.SIGKILL)
                system.exporter.start()
            system.wait_ready()
            job = client.ended(job_id)
        finally:
            system.exporter.end(signal.SIGKILL)
            system.exporter = usual
    assert job["status"] == "failed"
    assert job["error"]["code"] == "attempts_exhausted"


@pytest.mark.full
def test_a_stopped_exporter_gives_its_job_back(system: System) -> None:
    client = system.client(large_tenant(system))
    started(system, client)
    # Large exports take turns, so the last of these is held by the exporter and far from its end.
    *_, job_id = [str(client.export("csv").json["id"]) for _ in range(3)]
    eventually("the last one is claimed", lambda: document(system, job_id)["fence"] == 1, every=0.005)
    system.exporter.end(signal.SIGTERM)
    job = document(system, job_id)
    assert (job["state"], job["attempt"]) == ("accepted", 0)
    system.exporter.start()
    system.wait_ready()
    ended = client.ended(job_id)
    assert ended["status"] == "completed"
    check(client, ended, MANY)
