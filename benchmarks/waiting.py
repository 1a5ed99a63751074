"""Ten thousand clients that wait for one job on one gateway: memory, CPU, reads, and when they hear of its end."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymongo import MongoClient

from benchmarks.report import Report
from benchmarks.small_jobs import TICKS, operations
from benchmarks.system import System

CLIENTS, AT_ONCE = 10_000, 64
IDLE_SECONDS = 10.0
DEADLINE = 60.0
MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Waiting:
    """What the clients have seen; times by the clock of this process."""

    connected: int = 0
    heard: list[float] = field(default_factory=list)


def measure(system: System, report: Report) -> None:
    """Half of the clients read events, the other half wait with `Prefer: wait=60`."""
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        system.fill(10)
        job = system.export("csv")[0]["id"]
        # As a worker leaves it that was killed after a heartbeat an hour ahead.
        running = {"state": "running", "stage": "reading", "lease_until": {"$add": ["$$NOW", 3_600_000]}}
        gone = ["artifact", "finished_at", "expires_at", "records", "dispatch_at"]
        client["exporter"]["jobs"].update_one({"_id": job}, [{"$set": running}, {"$unset": gone}])
        asyncio.run(_measure(system, report, client, job))


async def _measure(system: System, report: Report, client: MongoClient[dict[str, Any]], job: str) -> None:
    memory, (operations_alone, _) = _memory(system), await _watched(system, client)
    waiting, limit = Waiting(), asyncio.Semaphore(AT_ONCE)
    tasks = [asyncio.create_task(_wait(system, job, number % 2 == 0, waiting, limit)) for number in range(CLIENTS)]
    deadline = time.monotonic() + DEADLINE
    while waiting.connected < CLIENTS and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    connected, grown = waiting.connected, _memory(system) - memory
    operations_waiting, cpu = await _watched(system, client)
    started = time.perf_counter()
    await asyncio.to_thread(system.rest.call, "POST", f"/exports/jobs/{job}/cancel")
    await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE)
    delays = sorted(at - started for at in waiting.heard)
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
        "time from the request that ends the job until clients know",
        f"median {delays[len(delays) // 2]:.2f} s, last {delays[-1]:.2f} s",
        compared=f"{len(delays):,} have heard of it",
    )


async def _watched(system: System, client: MongoClient[dict[str, Any]]) -> tuple[float, float]:
    """MongoDB operations a second, and the share of a core that the gateway uses, over some seconds."""
    before, used = sum(operations(client).values()), _cpu(system)
    await asyncio.sleep(IDLE_SECONDS)
    return (sum(operations(client).values()) - before) / IDLE_SECONDS, (_cpu(system) - used) / IDLE_SECONDS


async def _wait(system: System, job: str, reads_events: bool, waiting: Waiting, limit: asyncio.Semaphore) -> None:
    address = urlsplit(system.stack.url)
    path = f"/api/v1/exports/jobs/{job}" + ("/events" if reads_events else "")
    lines = [f"GET {path} HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {system.rest.key}"]
    lines += ["Connection: close", *([] if reads_events else ["Prefer: wait=60"]), "", ""]
    async with limit:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=4_096)
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        if reads_events:
            await reader.readuntil(b"\n\n")  # the first event
        waiting.connected += 1
    try:
        while line := await reader.readline():
            if b"cancelled" in line:
                waiting.heard.append(time.perf_counter())
                return
    finally:
        writer.close()


def _memory(system: System) -> int:
    """Bytes of memory that the gateway has."""
    return int(Path(f"/proc/{system.pid('gateway')}/statm").read_text().split()[1]) * PAGE


def _cpu(system: System) -> float:
    """Seconds of CPU time that the gateway has used."""
    fields = Path(f"/proc/{system.pid('gateway')}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
