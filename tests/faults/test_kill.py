"""What is promised when a process, a server or a message is lost: every accepted job ends once, with the right file."""

import csv
import hashlib
import io
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.rest import Rest
from tests.system import System, eventually

MANY = 200_000
KILLS = 3


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


def is_writing(system: System, tenant: str) -> bool:
    """Whether some of a file is written: the earliest sign of an export in its middle."""
    return any(part.stat().st_size for part in (system.folder / "artifacts" / tenant).rglob("*.part"))


def jobs_of(system: System, tenant: str) -> list[dict[str, Any]]:
    with system.mongo() as client:
        return list(client["exporter"]["jobs"].find({"tenant": tenant}))


def check(client: Rest, job: dict[str, Any], rows: int) -> None:
    """The job's file is whole: hash, size and rows."""
    answer = client.download(job["id"])
    assert answer.status == 200
    assert hashlib.sha256(answer.body).hexdigest() == job["sha256"]
    assert len(answer.body) == job["file_size"]
    ids = [row["id"] for row in csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))]
    assert len(ids) == rows == job["total_records"]
    assert len(set(ids)) == rows


def test_an_exporter_killed_in_the_middle_leaves_a_job_that_completes_once(system: System) -> None:
    client = system.client("big")
    system.fill("big", products(MANY))
    job_id = client.export("csv").json["id"]
    eventually("the export is in the middle", lambda: is_writing(system, "big"), every=0.005)
    killed = time.monotonic()
    system.exporter.end(signal.SIGKILL)
    system.exporter.start()
    system.wait_ready()
    # The lease is 3 s here: it has to run out, and the rest is the export itself.
    with_lease = eventually(
        "claimed again", lambda: [j for j in jobs_of(system, "big") if j["fence"] == 2], within=3 + 10
    )
    assert time.monotonic() - killed < 3 + 10
    assert with_lease[0]["attempt"] == 2
    job = client.ended(job_id, within=90)
    assert job["status"] == "completed"
    check(client, job, MANY)
    assert [j["fence"] for j in jobs_of(system, "big")] == [2]
    parts = list((system.folder / "artifacts").rglob("*"))
    assert [p.parent.name for p in parts if p.is_file() and p.suffix == ".csv"] == ["2"]


def test_a_frozen_exporter_cannot_commit_after_its_lease_is_gone(system: System) -> None:
    client = system.client("ice")
    system.fill("ice", products(MANY))
    job_id = client.export("csv").json["id"]
    eventually("the export is in the middle", lambda: is_writing(system, "ice"), every=0.005)
    system.exporter.send(signal.SIGSTOP)
    other = system.service("services.exporter", "exporter-2", GRPC_PORT="0")
    other.start()
    try:
        eventually("taken over", lambda: jobs_of(system, "ice")[0]["fence"] == 2, within=20)
        eventually("completed by the other", lambda: jobs_of(system, "ice")[0]["state"] == "completed", within=60)
        artifact = jobs_of(system, "ice")[0]["artifact"]
        system.exporter.send(signal.SIGCONT)
        system.wait_ready()
        eventually("the loser gave up", lambda: "job_stopped" in system.exporter.log or "fenced" in system.exporter.log)
        assert jobs_of(system, "ice")[0]["artifact"] == artifact
        check(client, client.job(job_id), MANY)
    finally:
        system.exporter.send(signal.SIGCONT)
        other.end()


def test_a_gateway_killed_before_its_answer_leaves_one_job_for_a_repeated_request(system: System) -> None:
    client = system.client("once")
    system.fill("once", products(10))
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.export("csv", key="order-1"))
        except OSError as exc:
            answers.append(exc)

    # The exporter is frozen, so the request is on its way and cannot be answered when the gateway dies.
    system.exporter.send(signal.SIGSTOP)
    asking = threading.Thread(target=ask)
    asking.start()
    eventually("the gateway has passed the request on", lambda: connections_to(system.rpc_port) > 0)
    time.sleep(0.3)
    system.gateway.end(signal.SIGKILL)
    asking.join(30)
    assert isinstance(answers[0], OSError), answers
    system.exporter.send(signal.SIGCONT)
    system.gateway.start()
    system.wait_ready()
    repeated = client.export("csv", key="order-1")
    assert repeated.status == 202
    again = client.export("csv", key="order-1")
    assert again.json["id"] == repeated.json["id"]
    assert client.ended(repeated.json["id"])["status"] == "completed"
    assert len(jobs_of(system, "once")) == 1


def connections_to(port: int) -> int:
    """Established connections to a port of this machine; gRPC speaks IPv4 over sockets of IPv6."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


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
    states = Counter(client.ended(job_id, within=60)["status"] for job_id in ids)
    assert states == {"completed": 50}
    assert len(jobs_of(system, "nats")) == 50


def test_no_accepted_job_is_lost_when_mongod_is_killed_under_load(system: System) -> None:
    client = system.client("mongo")
    system.fill("mongo", products(2_000))
    accepted: list[str] = []
    refused: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answer = client.export("csv")
            (accepted.append(answer.json["id"]) if answer.status == 202 else refused.append(answer.status))
            time.sleep(0.02)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually("some jobs are accepted", lambda: len(accepted) > 10)
    system.mongod.kill()
    system.mongod.start()
    before = len(accepted)
    eventually("more jobs are accepted afterwards", lambda: len(accepted) > before + 10, within=60)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert set(refused) <= {503}, Counter(refused)
    states = Counter(client.ended(job_id, within=90)["status"] for job_id in accepted)
    assert states == {"completed": len(accepted)}


def test_a_job_that_kills_its_process_ends_as_failed(system: System) -> None:
    client = system.client("poison")
    system.fill("poison", products(MANY))
    job_id = client.export("csv").json["id"]
    with system.mongo() as mongo:
        mongo["exporter"]["jobs"].update_one({"_id": job_id}, {"$set": {"max_attempts": KILLS}})

    def attempts() -> int:
        return int(jobs_of(system, "poison")[0]["attempt"])

    for attempt in range(1, KILLS + 1):
        eventually(f"attempt {attempt}", lambda: attempts() == attempt, within=20)  # noqa: B023  called in this round
        system.exporter.end(signal.SIGKILL)
        system.exporter.start()
    system.wait_ready()
    job = client.ended(job_id, within=30)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "attempts_exhausted"


def test_a_stopped_exporter_gives_its_job_back_at_once(system: System) -> None:
    client = system.client("roll")
    system.fill("roll", products(MANY))
    job_id = client.export("csv").json["id"]
    eventually("the export is in the middle", lambda: is_writing(system, "roll"), every=0.005)
    system.exporter.end(signal.SIGTERM)
    [job] = jobs_of(system, "roll")
    assert job["state"] == "accepted"
    assert job["attempt"] == 0
    system.exporter.start()
    system.wait_ready()
    ended = client.ended(job_id, within=60)
    assert ended["status"] == "completed"
    check(client, ended, MANY)
