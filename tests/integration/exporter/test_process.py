"""The exporter as a process: how it starts, what it says when it cannot, and how a signal ends it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local.servers import Mongod, free_port
from services.chassis.process import run
from services.exporter.app import build
from services.exporter.settings import ExporterSettings
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc
from tests import copies
from tests.integration.exporting import new_tenant, products
from tests.system import ROOT, eventually
from tests.tcp_proxy import CHUNK, TcpProxy
from tests.waiting import DEADLINE

MIB = 1024 * 1024


@contextmanager
def process(log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m services.exporter`, killed at the end if it still runs."""
    ports = {"GRPC_PORT": "0", "METRICS_PORT": "0"}
    with log.open("wb") as file:
        command = [sys.executable, "-m", "services.exporter"]
        child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ports, **settings}, stdout=file, stderr=file)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def fine(mongo_uri: str, nats_url: str, tmp_path: Path) -> dict[str, str]:
    return {"MONGODB_URI": mongo_uri, "NATS_URL": nats_url, "ARTIFACTS_URL": (tmp_path / "artifacts").as_uri()}


def lines(log: Path) -> list[dict[str, Any]]:
    """The log, every line of which is a JSON object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_signal_ends_it_in_order_and_every_line_of_its_log_is_json(fine: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process(log, **fine) as child:
        eventually("it has started", lambda: '"started"' in log.read_text())
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGTERM)  # an impatient operator must not cut the order short
        assert child.wait(20) == 0
    said = [line["event"] for line in lines(log)]
    assert [event for event in said if event in ("listening", "started", "stopping", "stopped")] == [
        "listening",
        "started",
        "stopping",
        "stopped",
    ]
    assert {line["service"] for line in lines(log)} == {"exporter"}


@pytest.mark.full
def test_a_signal_ends_it_while_it_is_still_waiting_for_its_database(fine: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    nobody = f"mongodb://127.0.0.1:{free_port()}/"
    with process(log, **{**fine, "MONGODB_URI": nobody, "LOG_LEVEL": "DEBUG"}) as child:
        eventually("it can take signals", lambda: catches_sigterm(child.pid))
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE) == 0
    assert [line["event"] for line in lines(log)][-1] == "stopped"


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(mask, 16) & 1 << signal.SIGTERM - 1)


@pytest.mark.full
def test_a_catalogue_that_hangs_keeps_neither_the_process_nor_its_job(
    fine: dict[str, str], mongod: Mongod, tmp_path: Path
) -> None:
    log, port, tenant = tmp_path / "log", free_port(), new_tenant()
    with (
        TcpProxy("127.0.0.1", mongod.port) as proxy,
        MongoClient[dict[str, Any]](fine["MONGODB_URI"]) as client,
    ):
        copies.fill(client, tenant, products(1)[0], 40_000)
        catalogue = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        with (
            process(log, **fine, CATALOGUE_URI=catalogue, GRPC_PORT=str(port)) as child,
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            grpc.channel_ready_future(channel).result(DEADLINE)
            until = proxy.up + proxy.down + MIB - CHUNK
            proxy.stall_after(MIB)
            request = pb.CreateJobRequest(tenant=tenant, format="json")  # its only pass writes the file
            job = exporter_pb2_grpc.ExporterServiceStub(channel).CreateJob(request, timeout=30).job
            eventually("the catalogue hangs", lambda: proxy.up + proxy.down > until)
            jobs = client["exporter"]["jobs"]
            beats = Heartbeats(jobs, job.id)
            eventually("the reader has run dry", beats.show_no_progress)
            child.send_signal(signal.SIGTERM)
            assert child.wait(DEADLINE) == 0
            left = jobs.find_one({"_id": job.id})
            assert left is not None
            assert (left["state"], left["attempt"]) == ("accepted", 0)
            jobs.delete_one({"_id": job.id})


class Heartbeats:
    """What the heartbeats of a job have reported since the first call."""

    def __init__(self, jobs: Collection[dict[str, Any]], job_id: str) -> None:
        self._jobs, self._job_id = jobs, job_id
        self._seen: dict[datetime, int] = {}

    def show_no_progress(self) -> bool:
        """Whether the last three reported the same number of documents."""
        found = self._jobs.find_one({"_id": self._job_id}) or {}
        self._seen[found["lease_until"]] = found["processed"]
        last = list(self._seen.values())[-3:]
        return len(last) == 3 and len(set(last)) == 1


@pytest.mark.full
@pytest.mark.parametrize("variable", ["GRPC_PORT", "METRICS_PORT"])
def test_a_port_that_is_taken_ends_it_with_one_clear_line(fine: dict[str, str], tmp_path: Path, variable: str) -> None:
    log = tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with process(log, **fine, **{variable: port}) as child:
            assert child.wait(30) == 1
    last = json.loads(log.read_text().splitlines()[-1])  # before it, gRPC's own library has its say
    assert (last["event"], last["level"]) == ("cannot_start", "error")
    assert port in last["reason"]
    assert "Traceback" not in log.read_text()


def test_a_wrong_setting_is_named(fine: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process(log, **{**fine, "GRPC_PORT": "many"}) as child:
        assert child.wait(30) == 2
    assert log.read_text().startswith("exporter: setting GRPC_PORT: ")
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORKER_JOBS", "-1"),
        ("JOB_LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "20"),
        ("LOG_LEVEL", "LOUD"),
        ("JOB_MAX_ATTEMPTS", "0"),
    ],
)
def test_each_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    """As above, without a process for each."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        run("exporter", ExporterSettings, build)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"exporter: setting {variable}: ")
