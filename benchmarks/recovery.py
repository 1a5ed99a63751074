"""How long the system needs after the kill -9 of each of its processes, with the local stack's supervisor."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from benchmarks.report import Report
from benchmarks.rest import CallFailed
from benchmarks.system import POLL_SECONDS, TIMEOUT, System

PRODUCTS = 300_000


def measure(system: System, report: Report) -> None:
    """Kill one process after the other, and wait until what it does works again."""
    system.fill(PRODUCTS)
    small = system.of("recovery")
    small.fill(100)
    report.add("kill -9 of a worker in the middle of an export: goes on elsewhere", _after_worker(system))
    for process, what, works in (
        ("exporter", "a job is accepted", lambda: small.rest.call("POST", "/exports/csv/products", {})),
        ("gateway", "a job is shown", lambda: small.rest.call("GET", "/exports/jobs")),
        ("delivery", "platforms are listed", lambda: small.rest.call("GET", "/exports/platforms")),
        ("scheduler", "schedules are listed", lambda: small.rest.call("GET", "/exports/schedules")),
        ("nats-server", "an export is completed", lambda: small.export("csv")),
        ("mongod", "a job is accepted", lambda: small.rest.call("POST", "/exports/csv/products", {})),
    ):
        _kill(system, process)
        report.add(f"kill -9 of {process}: {what}", f"{_until(system, lambda: _tried(works)):.1f} s")  # noqa: B023


def _after_worker(system: System) -> str:
    job = system.rest.call("POST", "/exports/excel/products", {})["id"]
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        jobs = client["exporter"]["jobs"]
        _until(system, lambda: jobs.find_one({"_id": job, "state": "running", "processed": {"$gt": 0}}) is not None)
        _kill(system, "exporter-worker")
        seconds = _until(system, lambda: jobs.find_one({"_id": job, "attempt": 2}) is not None)
        _until(system, lambda: jobs.find_one({"_id": job, "state": "completed"}) is not None)
    return f"{seconds:.1f} s"


def _kill(system: System, process: str) -> None:
    os.kill(system.pid(process), signal.SIGKILL)


def _tried(works: Callable[[], object]) -> bool:
    try:
        works()
    except (OSError, CallFailed, PyMongoError, RuntimeError):
        return False
    return True


def _until(system: System, reached: Callable[[], bool]) -> float:
    """Seconds until it is reached; what has ended is started again meanwhile."""
    started = time.perf_counter()
    while not reached():
        if time.perf_counter() - started > TIMEOUT:
            raise RuntimeError(f"not reached within {TIMEOUT:.0f} s")
        system.stack.check()
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - started
