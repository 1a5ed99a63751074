"""Ten thousand clients that wait for one job on one gateway: memory, CPU, reads, and when they hear of its end."""

import os
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pymongo import MongoClient

from benchmarks.report import Report
from benchmarks.small_jobs import TICKS, operations
from benchmarks.system import System

CLIENTS = 10_000
IDLE_SECONDS = 10.0
DEADLINE = 60.0
MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(system: System, report: Report) -> None:
    """Half of the clients read events, the other half wait with `Prefer: wait=60`."""
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        system.fill(10)
        job = system.export("csv")[0]["id"]
        # As a worker leaves it that was killed after a heartbeat an hour ahead.
        running = {"state": "running", "stage": "reading", "lease_until": {"$add": ["$$NOW", 3_600_000]}}
        gone = ["artifact", "finished_at", "expires_at", "records", "dispatch_at"]
        client["exporter"]["jobs"].update_one({"_id": job}, [{"$set": running}, {"$unset": gone}])
        _measure(system, report, client, job)


def _measure(system: System, report: Report, client: MongoClient[dict[str, Any]], job: str) -> None:
    memory, (operations_alone, _) = _memory(system), _watched(system, client)
    with Clients(system, job) as waiting:
        waiting.receive(lambda: waiting.connected == CLIENTS, DEADLINE)
        connected, grown = waiting.connected, _memory(system) - memory
        operations_waiting, cpu = _watched(system, client)
        used = _cpu(system)
        with ThreadPoolExecutor(1) as pool:
            cancelled = pool.submit(system.rest.call, "POST", f"/exports/jobs/{job}/cancel")
            waiting.receive(lambda: len(waiting.heard) == CLIENTS, DEADLINE)
            cancelled.result()
        used = _cpu(system) - used
    [ended] = client["exporter"]["jobs"].find({"_id": job}, {"finished_at": 1})
    delays = sorted(at - ended["finished_at"].replace(tzinfo=UTC).timestamp() for at in waiting.heard)
    report.add(
        f"{connected:,} clients that wait on one gateway",
        f"{grown / MIB:.0f} MiB, {grown / max(1, connected) / 1024:.0f} KiB each",
        compared=f"CPU while nothing happens: {100 * cpu:.1f} % of a core",
    )
    report.add(
        "MongoDB operations a second while they wait",
        f"{operations_waiting:.1f}",
        compared=f"without them {operations_alone:.1f}",
    )
    report.add(
        "time from the end of the job until clients know",
        f"median {delays[len(delays) // 2]:.2f} s, last {delays[-1]:.2f} s",
        compared=f"{len(delays):,} have heard of it; the gateway has used {used:.2f} s of CPU",
        target="last below 1 s",
    )


def _watched(system: System, client: MongoClient[dict[str, Any]]) -> tuple[float, float]:
    """MongoDB operations a second, and the share of a core that the gateway uses, over some seconds."""
    before, used = sum(operations(client).values()), _cpu(system)
    time.sleep(IDLE_SECONDS)
    return (sum(operations(client).values()) - before) / IDLE_SECONDS, (_cpu(system) - used) / IDLE_SECONDS


class Clients:
    """The waiting clients: plain sockets and one epoll, so that measuring takes little of the two cores.

    Half of them read events, and are connected once the first one has arrived.
    """

    def __init__(self, system: System, job: str) -> None:
        self.connected = 0
        self.heard: list[float] = []
        """When each client heard of the job's end, by `time.time`."""
        self._url, self._key, self._job = urlsplit(system.stack.url), system.rest.key, job
        self._sockets: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        self._epoll = select.epoll()

    def __enter__(self) -> Self:
        for number in range(CLIENTS):
            self._connect(reads_events=number % 2 == 0)
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self._sockets.values():
            one.close()
        self._epoll.close()

    def receive(self, is_done: Callable[[], bool], seconds: float) -> None:
        """Read what arrives until `is_done`, for some seconds at most."""
        deadline = time.monotonic() + seconds
        while not is_done() and time.monotonic() < deadline:
            for number, _ in self._epoll.poll(0.1):
                self._read(number)

    def _connect(self, *, reads_events: bool) -> None:
        path = f"/api/v1/exports/jobs/{self._job}" + ("/events" if reads_events else "")
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._url.netloc}", f"Authorization: Bearer {self._key}"]
        lines += ["Connection: close", *([] if reads_events else ["Prefer: wait=60"]), "", ""]
        one = socket.create_connection((self._url.hostname, self._url.port), DEADLINE)
        one.sendall("\r\n".join(lines).encode())
        one.setblocking(False)
        self._sockets[one.fileno()] = one
        if reads_events:
            self._received[one.fileno()] = b""
        else:
            self.connected += 1
        self._epoll.register(one, select.EPOLLIN)

    def _read(self, number: int) -> None:
        one = self._sockets[number]
        data = one.recv(65_536)
        if b'"cancelled"' in data:
            self.heard.append(time.time())
            self._epoll.unregister(one)
            one.close()
            del self._sockets[number]
        elif not data:
            raise RuntimeError("the gateway has closed a connection on which a client waits")
        elif number in self._received:
            self._received[number] += data
            if b"\n\n" in self._received[number]:
                self.connected += 1
                del self._received[number]


def _memory(system: System) -> int:
    """Bytes of memory that the gateway has."""
    return int(Path(f"/proc/{system.pid('gateway')}/statm").read_text().split()[1]) * PAGE


def _cpu(system: System) -> float:
    """Seconds of CPU time that the gateway has used."""
    fields = Path(f"/proc/{system.pid('gateway')}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
