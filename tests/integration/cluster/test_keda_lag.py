"""What KEDA asks, by the manifest's own trigger, against a real server."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from deploy.local.servers import HOST
from services.chassis import jetstream
from services.chassis.jetstream import Inbox
from services.exporter.jobs.dispatch import EXPORTS, wake_up_of
from tests.integration.cluster.data_plane import COMPONENTS, DataPlane


@pytest.fixture
def server(plane: DataPlane) -> Iterator[DataPlane]:
    with plane.nats():
        yield plane


def ask(server: DataPlane, path: str) -> Any:
    """What the monitoring port answers."""
    with urllib.request.urlopen(f"http://{HOST}:{server.monitor_port}{path}", timeout=5) as answer:
        return json.load(answer)


async def test_what_keda_asks_for_is_the_number_of_jobs_waiting_or_worked_on(server: DataPlane) -> None:
    trigger = keda_lag()
    async with _exporter(server) as connection:
        await _connected(connection)
        inbox = Inbox(connection, EXPORTS, trigger["consumer"], ack_wait=30.0)
        assert await inbox.next() is None
        assert lag(server, trigger) == 0
        for number in range(5):
            await connection.publish(EXPORTS, wake_up_of(str(number)), b"")
        first, second = await inbox.next(), await inbox.next()
        assert lag(server, trigger) == 5
        assert first is not None
        assert second is not None
        await first.ack_sync()
        assert lag(server, trigger) == 4


def _exporter(server: DataPlane) -> AbstractAsyncContextManager[jetstream.JetStream]:
    return jetstream.connecting(server.nats_url("exporter"), name="exporter", ca_file=server.ca_file)


async def _connected(connection: jetstream.JetStream) -> None:
    async with asyncio.timeout(10):
        while not connection.is_connected:
            await asyncio.sleep(0.02)


def keda_lag() -> dict[str, str]:
    """The metadata of the manifest's trigger."""
    found = yaml.safe_load((COMPONENTS / "autoscaling-keda" / "scaled-object.yaml").read_text())
    (metadata,) = [one["metadata"] for one in found["spec"]["triggers"] if one["type"] == "nats-jetstream"]
    return dict(metadata)


def lag(server: DataPlane, trigger: dict[str, str]) -> int:
    """As KEDA v2.20 finds it (pkg/scalers/nats_jetstream_scaler.go): by the names of account, stream and consumer."""
    answer = ask(server, "/jsz?" + urlencode({"acc": trigger["account"], "consumers": "true", "config": "true"}))
    (account,) = [one for one in answer["account_details"] if trigger["account"] in (one["id"], one["name"])]
    (stream,) = [one for one in account["stream_detail"] if one["name"] == trigger["stream"]]
    (consumer,) = [one for one in stream["consumer_detail"] if one["name"] == trigger["consumer"]]
    return int(consumer["num_pending"]) + int(consumer["num_ack_pending"])
