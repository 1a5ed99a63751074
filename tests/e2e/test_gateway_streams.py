"""Downloads of a large file: memory stays bounded, and nothing is left behind by clients that disconnect or stall."""

import hashlib
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.gateways import Gateway, gateway
from tests.rest import Rest
from tests.system import System, eventually

MIB = 1024 * 1024
GROWTH = 24 * MIB
STALL = 1


@dataclass(frozen=True)
class Large:
    """A finished job with a file of 100 MB, on a gateway that disconnects clients that stall for a second."""

    front: Gateway
    client: Rest
    job: dict[str, Any]
    store: Path

    @property
    def size(self) -> int:
        return int(self.job["file_size"])

    def check_all_closed(self) -> None:
        eventually("the gateway has closed the file", lambda: not self.front.open_files(self.store))


@pytest.fixture(scope="module")
def large(system: System) -> Iterator[Large]:
    system.fill("streams", [{"_id": n, "text": "x" * 10_000_000} for n in range(10)])
    with gateway(system, "gateway-streams", STALL_SECONDS=str(STALL)) as front:
        client = front.client(system.key("streams"))
        job = client.ended(client.export("csv").json["id"])
        assert job["file_size"] > 100_000_000
        yield Large(front, client, job, system.folder / "artifacts")


@contextmanager
def downloading(large: Large, window: int | None = None) -> Iterator[http.client.HTTPResponse]:
    """The response to a download, its body unread; `window`: size of the client's receive buffer."""
    connection = http.client.HTTPConnection(urlsplit(large.front.url).netloc, timeout=30)
    if window is not None:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        made.connect((connection.host, connection.port))
        connection.sock = made
    headers = {"Authorization": f"Bearer {large.client.key}"}
    connection.request("GET", f"/api/v1/exports/jobs/{large.job['id']}/download", headers=headers)
    with connection.getresponse() as response:
        assert response.status == 200
        try:
            yield response
        finally:
            connection.close()


def test_a_large_file_is_sent_without_being_held_in_memory(large: Large) -> None:
    before, most, found = large.front.memory, 0, hashlib.sha256()
    with downloading(large) as response:
        while chunk := response.read(4 * MIB):
            found.update(chunk)
            most = max(most, large.front.memory)
    assert found.hexdigest() == large.job["sha256"]
    assert most - before < GROWTH
    large.check_all_closed()


def test_clients_that_disconnect_leave_no_open_file_and_no_memory_behind(large: Large) -> None:
    with downloading(large) as response:
        response.read(MIB)
        assert large.front.open_files(large.store), "the test sees open files"
    large.check_all_closed()
    before = large.front.memory
    for _ in range(30):
        with downloading(large) as response:
            response.read(MIB)
    large.check_all_closed()
    assert large.front.memory - before < GROWTH
    assert large.client.download(large.job["id"], Range="bytes=0-9").status == 206


def test_a_client_that_stalls_is_disconnected_and_sees_an_incomplete_file(large: Large) -> None:
    with downloading(large, window=64 * 1024) as response:
        eventually("disconnected", lambda: "download_aborted" in large.front.process.output, within=STALL + 5)
        large.check_all_closed()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()


def test_a_client_that_is_slow_but_does_not_stall_gets_the_whole_file(large: Large) -> None:
    taken, pauses = 0, 8
    with downloading(large, window=64 * 1024) as response:
        # More than the kernel buffers, so that the gateway sees progress.
        while chunk := response.read(4 * MIB):
            taken += len(chunk)
            if pauses:
                pauses -= 1
                time.sleep(STALL / 4)
    assert taken == large.size


def test_a_file_that_is_truncated_in_the_store_never_looks_complete(system: System) -> None:
    system.fill("streams-cut", [{"_id": n, "text": "x" * 1_000_000} for n in range(5)])
    client = system.client("streams-cut")
    job, file = client.file("csv")
    [stored] = [path for path in (system.folder / "artifacts").rglob("*.csv") if job["id"] in str(path)]
    with stored.open("r+b") as cut:
        cut.truncate(len(file) // 2)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        client.download(job["id"])
    assert client.download(job["id"], Range="bytes=0-9").body == file[:10]
