"""Status requests per second on an idle gateway and during an export."""

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
    """The result of some seconds of requests."""

    rate: float
    """Responses per second."""
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
    """Compare a job's status with /healthz, which calls no other service, then measure it during an export."""
    system.fill(PRODUCTS)
    job, _ = system.export("csv", {"filters": {"sku": "SKU-00000001"}})
    path = f"/api/v1/exports/jobs/{job['id']}"
    asyncio.run(load(system, path))  # opens the connections
    bare = asyncio.run(load(system, "/healthz"))
    idle = asyncio.run(load(system, path))
    report.add(
        "status of a job, nothing else running",
        idle.text,
        compared=f"/healthz: {bare.text}; ratio {idle.rate / bare.rate:.2f}",
    )
    done = threading.Event()

    def export() -> None:
        while not done.is_set():
            system.export("excel")

    exporting = threading.Thread(target=export)
    exporting.start()
    busy = asyncio.run(load(system, path))
    done.set()
    exporting.join()
    report.add(
        f"status of a job while {PRODUCTS:,} products are exported as Excel in a loop",
        busy.text,
        compared=f"idle; ratio {busy.rate / idle.rate:.2f}",
    )


async def load(system: System, path: str, *, every: float = 0.0, seconds: float = SECONDS) -> Load:
    """Request one path from several clients, each every `every` seconds, or back to back if it is 0.

    If a response takes longer than `every`, the next request is sent immediately and its latency includes the delay.
    """
    headers = {"Authorization": f"Bearer {system.rest.key}"}
    latencies: list[float] = []
    async with aiohttp.ClientSession(system.stack.url, headers=headers) as session:

        async def client(number: int) -> None:
            turn = start + every * number / CLIENTS
            while turn < end:
                await asyncio.sleep(turn - time.perf_counter())
                async with session.get(path) as answer:
                    answer.raise_for_status()
                    await answer.read()
                answered = time.perf_counter()
                latencies.append(answered - turn)
                turn = turn + every if every else answered

        start = time.perf_counter()
        end = start + seconds
        await asyncio.gather(*map(client, range(CLIENTS)))
        return Load(len(latencies) / (time.perf_counter() - start), latencies)
