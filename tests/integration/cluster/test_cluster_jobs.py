"""What clusters run by themselves to begin with, and what KEDA asks: the manifests' own, against real servers."""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nats
import pytest
import yaml
from nats.js.api import StreamConfig
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local.servers import free_port, mongod_program, nats_program
from services.chassis import jetstream
from services.chassis.jetstream import Inbox, Stream
from services.export_events import EVENTS
from services.exporter.jobs.dispatch import EXPORTS
from tests.system import ROOT, eventually

COMPONENTS = ROOT / "deploy" / "k8s" / "components"
PASSWORD = "p@ss word"
QUOTED = "p%40ss%20word"


@contextmanager
def running(command: list[str | Path], log: Path, **env: str) -> Iterator[None]:
    """A server as a child process, killed at the end."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **env})
        try:
            yield
        finally:
            child.kill()
            child.wait()


def script(path: str, **env: str) -> None:
    """Run a script of a component to its end, as its Job does."""
    run: list[str | Path] = [sys.executable, COMPONENTS / path]
    made = subprocess.run(run, env={**os.environ, **env}, capture_output=True, text=True, timeout=90)
    assert made.returncode == 0, made.stderr


def test_a_replica_set_with_a_key_is_made_and_its_user_may_do_what_services_do(tmp_path: Path) -> None:
    port, key = free_port(), tmp_path / "keyfile"
    key.write_text("c2VjcmV0LW9mLXRoZS1tZW1iZXJz\n")
    key.chmod(0o400)
    (tmp_path / "data").mkdir()
    command: list[str | Path] = [mongod_program(), "--replSet=rs0", "--bind_ip=127.0.0.1", f"--port={port}"]
    command += [f"--dbpath={tmp_path / 'data'}", "--nounixsocket", f"--keyFile={key}", "--oplogSize=16"]
    address = f"127.0.0.1:{port}/?replicaSet=rs0&authSource=admin"
    with running(command, tmp_path / "mongod.log"):
        uri = f"mongodb://exports:{QUOTED}@{address}"
        script("mongodb-initiate/initiate.py", MONGODB_URI=uri, MONGODB_KEY_FILE=str(key))
        script("mongodb-initiate/initiate.py", MONGODB_URI=uri, MONGODB_KEY_FILE=str(key))
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=10_000) as client:
            for service in ("gateway", "exporter", "delivery", "scheduler"):
                client[service]["things"].insert_one({"_id": 1})
            assert client["catalogue_acme"]["products"].count_documents({}) == 0
            with pytest.raises(OperationFailure, match="not authorized"):
                client["catalogue_acme"]["products"].insert_one({"_id": 1})
        script(
            "mongodb-initiate/initiate.py", MONGODB_URI=f"mongodb://exports:new@{address}", MONGODB_KEY_FILE=str(key)
        )
        with (
            MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=10_000) as client,
            pytest.raises(OperationFailure, match="Authentication failed"),
        ):
            client["exporter"]["things"].count_documents({})


@dataclass(frozen=True)
class Nats:
    """A server with the configuration of the component, alone and on free ports."""

    port: int
    monitor: int

    @property
    def url(self) -> str:
        return f"nats://exports:w0rd@127.0.0.1:{self.port}"

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}", timeout=5) as answer:
            return json.load(answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    found = Nats(free_port(), free_port())
    text = (COMPONENTS / "nats" / "nats.conf").read_text()
    text = re.sub(r"^cluster \{.*?^\}$", "", text, flags=re.MULTILINE | re.DOTALL)
    for ours, free in (
        ("port: 4222", f"listen: 127.0.0.1:{found.port}"),
        ("http_port: 8222", f"http: 127.0.0.1:{found.monitor}"),
    ):
        text = text.replace(ours, free)
    text = text.replace("/data", str(tmp_path / "store"))
    (tmp_path / "nats.conf").write_text(text)
    command: list[str | Path] = [nats_program(), "--config", tmp_path / "nats.conf"]
    with running(command, tmp_path / "log", POD_NAME="nats-0", NATS_USER="exports", NATS_PASSWORD="w0rd"):
        eventually("NATS listens", lambda: "Server is ready" in (tmp_path / "log").read_text())
        yield found


async def stored(url: str, stream: Stream) -> StreamConfig:
    client = await nats.connect(url)
    try:
        return (await client.jetstream().stream_info(stream.name)).config
    finally:
        await client.close()


async def test_the_streams_are_made_as_the_services_make_them(server: Nats) -> None:
    script("nats/streams.py", NATS_URL=server.url, STREAM_REPLICAS="1")
    made = [await stored(server.url, stream) for stream in (EXPORTS, EVENTS)]
    client = await nats.connect(server.url)
    for stream in (EXPORTS, EVENTS):
        await client.jetstream().delete_stream(stream.name)
    await client.close()
    async with jetstream.connecting(server.url, name="test") as connection:
        for stream in (EXPORTS, EVENTS):
            await _connected(connection)
            await connection.ensure(stream)
    assert made == [await stored(server.url, stream) for stream in (EXPORTS, EVENTS)]
    script("nats/streams.py", NATS_URL=server.url, STREAM_REPLICAS="1")


async def test_what_keda_asks_for_is_the_number_of_jobs_waiting_or_worked_on(server: Nats) -> None:
    trigger = keda_lag()
    async with jetstream.connecting(server.url, name="test") as connection:
        await _connected(connection)
        inbox = Inbox(connection, EXPORTS, trigger["consumer"], ack_wait=30.0)
        assert await inbox.next() is None
        assert lag(server, trigger) == 0
        for number in range(5):
            await connection.publish(EXPORTS, "exports.jobs", str(number).encode())
        first, second = await inbox.next(), await inbox.next()
        assert lag(server, trigger) == 5
        assert first is not None
        assert second is not None
        await first.ack_sync()
        assert lag(server, trigger) == 4


async def _connected(connection: jetstream.JetStream) -> None:
    async with asyncio.timeout(10):
        while not connection.is_connected:
            await asyncio.sleep(0.02)


def keda_lag() -> dict[str, str]:
    """The metadata of the manifest's trigger."""
    found = yaml.safe_load((COMPONENTS / "autoscaling-keda" / "scaled-object.yaml").read_text())
    (metadata,) = [one["metadata"] for one in found["spec"]["triggers"] if one["type"] == "nats-jetstream"]
    return dict(metadata)


def lag(server: Nats, trigger: dict[str, str]) -> int:
    """As KEDA v2.20 finds it (pkg/scalers/nats_jetstream_scaler.go): by the names of account, stream and consumer."""
    answer = server.ask("/jsz?" + urlencode({"acc": trigger["account"], "consumers": "true", "config": "true"}))
    (account,) = [one for one in answer["account_details"] if trigger["account"] in (one["id"], one["name"])]
    (stream,) = [one for one in account["stream_detail"] if one["name"] == trigger["stream"]]
    (consumer,) = [one for one in stream["consumer_detail"] if one["name"] == trigger["consumer"]]
    return int(consumer["num_pending"]) + int(consumer["num_ack_pending"])
