"""The gateway's answers a second to the question for a job's status, idle and beside a running export."""

import asyncio
import statistics
import threading
import time
from dataclasses import dataclass

import aiohttp

from benchmarks.report import Report
from benchmarks.system import System

PRODUCTS = 200_000
SECONDS = 5.0
CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Load:
    """How some seconds of requests went."""

    rate: float
    """Answers a second."""
    latencies: list[float]
    """Seconds."""

    @property
    def p99(self) -> float:
        """The 99th percentile, in seconds."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]

    @property
    def text(self) -> str:
        """Rate, median and 99th percentile."""
        middle = statistics.median(self.latencies)
        return f"{self.rate:,.0f}/s, p50 {middle * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms"


def measure(system: System, report: Report) -> None:
    """A job's status beside /healthz, which asks nobody; then the same while an export runs."""
    system.fill(PRODUCTS)
    job, _ = system.export("csv", {"filters": {"sku": "SKU-00000001"}})
    path = f"/api/v1/exports/jobs/{job['id']}"
    asyncio.run(load(system, path))  # connections are made
    bare = asyncio.run(load(system, "/healthz"))
    idle = asyncio.run(load(system, path))
    report.add(
        "status of a job, nothing else running",
        idle.text,
        compared=f"/healthz: {bare.text}; ratio {idle.rate / bare.rate:.2f}",
    )
    enough = threading.Event()

    def export() -> None:
        while not enough.is_set():
            system.export("excel")

    exporting = threading.Thread(target=export)
    exporting.start()
    busy = asyncio.run(load(system, path))
    enough.set()
    exporting.join()
    report.add(
        f"status of a job while {PRODUCTS:,} products are exported as Excel, again and again",
        busy.text,
        compared=f"idle; ratio {busy.rate / idle.rate:.2f}",
    )


async def load(system: System, path: str, *, every: float = 0.0, seconds: float = SECONDS) -> Load:
    """Some clients that ask for one path, each so often, or as soon as it is answered.

    A client that is kept waiting beyond its next turn asks at once, and that wait counts.
    """
    headers = {"Authorization": f"Bearer {system.rest.key}"}
    latencies: list[float] = []
    async with aiohttp.ClientSession(system.stack.url, headers=headers) as session:

        async def client(number: int) -> None:
            turn = begin + every * number / CLIENTS
            while turn < end:
                await asyncio.sleep(turn - time.perf_counter())
                async with session.get(path) as answer:
                    answer.raise_for_status()
                    await answer.read()
                answered = time.perf_counter()
                latencies.append(answered - turn)
                turn = turn + every if every else answered

        begin = time.perf_counter()
        end = begin + seconds
        await asyncio.gather(*map(client, range(CLIENTS)))
        return Load(len(latencies) / (time.perf_counter() - begin), latencies)
