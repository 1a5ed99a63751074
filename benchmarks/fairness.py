"""What a tenant waits for a small export while another tenant has thousands of large ones waiting."""

import asyncio
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from benchmarks.report import Report, spread
from benchmarks.system import System
from services.chassis import mongo
from services.exporter.jobs.job import NewJob
from services.exporter.jobs.store import JobStore

LARGE, SMALL = 100_000, 100
WAITING = 10_000
AT_ONCE = 64
RUNS = 15
SECONDS = 20.0


def measure(system: System, report: Report) -> None:
    """Compare the small export of an idle system with the same export beside the backlog."""
    greedy, small = system.of("greedy"), system.of("small")
    greedy.fill(LARGE)
    small.fill(SMALL)
    greedy.export("csv")
    small.export("csv")
    alone = [small.export("csv")[1] for _ in range(RUNS)]
    asyncio.run(_store(greedy, WAITING))
    beside = [small.export("csv")[1] for _ in range(RUNS)]
    rate = _completed_per_second(greedy)
    report.add(
        f"{SMALL} products as CSV beside {WAITING:,} waiting exports of {LARGE:,} products",
        spread(beside),
        compared=f"idle {spread(alone)}; ratio {statistics.median(beside) / statistics.median(alone):.2f}",
        target="at most 3",
    )
    report.add(f"exports of {LARGE:,} products by the tenant with the backlog", f"{rate:.2f} a second")
    with _jobs(greedy) as jobs:
        jobs.delete_many({"tenant": greedy.tenant})


async def _store(system: System, count: int) -> None:
    """Store the jobs as the exporter does when it accepts them: over REST, they would run while they are submitted."""
    client = mongo.connect(system.mongodb_uri, app="benchmarks")
    jobs = JobStore(client["exporter"])
    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(jobs.accept(_job(system.tenant)) for _ in range(start, min(start + AT_ONCE, count))))
    client.close()


def _job(tenant: str) -> NewJob:
    return NewJob(str(uuid.uuid4()), tenant, "csv", "{}", request_hash="", max_attempts=3)


def _completed_per_second(system: System) -> float:
    before, started = _completed(system), time.perf_counter()
    threading.Event().wait(SECONDS)
    return (_completed(system) - before) / (time.perf_counter() - started)


def _completed(system: System) -> int:
    with _jobs(system) as jobs:
        return jobs.count_documents({"tenant": system.tenant, "state": "completed"})


@contextmanager
def _jobs(system: System) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        yield client["exporter"]["jobs"]
