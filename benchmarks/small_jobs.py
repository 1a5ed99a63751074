"""The cost of small jobs and small deliveries: jobs a second, CPU time of each process, and operations of MongoDB."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.deliveries import receivers
from benchmarks.report import Report
from benchmarks.system import TIMEOUT, System

PRODUCTS, JOBS, DELIVERIES = 100, 400, 200
CLIENTS = 16
TICKS = os.sysconf("SC_CLK_TCK")
OPERATIONS = ("insert", "query", "update", "delete", "getmore", "command")


def measure(system: System, report: Report) -> None:
    """Measure exports of a tenant without platforms, then deliveries of such files to one platform of each type."""
    small = system.of("small-jobs")
    small.fill(PRODUCTS)
    small.export("csv")
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        before, counters, started = _cpu(system), operations(client), time.perf_counter()
        jobs = submit(small, JOBS)
        submitted = time.perf_counter() - started
        until_completed(client, small.tenant, JOBS)
        seconds = time.perf_counter() - started
        used = _difference(_cpu(system), before)
        counted = _difference(operations(client), counters)
    report.add(f"{JOBS} exports of {PRODUCTS} products: accepted", f"{JOBS / submitted:.0f} a second")
    report.add(f"{JOBS} exports of {PRODUCTS} products: completed", f"{JOBS / seconds:.0f} a second")
    each = ", ".join(f"{name} {1000 * value / JOBS:.1f}" for name, value in used.items())
    report.add("CPU of one", f"{1000 * sum(used.values()) / JOBS:.1f} ms", compared=each)
    each = ", ".join(f"{name} {value / JOBS:.1f}" for name, value in counted.items() if value)
    report.add("MongoDB operations of one", f"{sum(counted.values()) / JOBS:.1f}", compared=each)
    with receivers(system.stack.folder / "small-receivers") as configs:
        for kind in ("s3", "sftp"):
            _deliveries(small, report, jobs[:DELIVERIES], kind, configs[kind])


def _deliveries(system: System, report: Report, jobs: list[str], kind: str, config: dict[str, Any]) -> None:
    body = {"name": kind, "platform_type": kind, "is_active": True, "config": {**config, "file_name": "{job}"}}
    platform = system.rest.call("POST", "/exports/platforms", body)["id"]
    before, started = _cpu(system), time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        where = {"platform_id": platform}
        list(clients.map(lambda job: system.rest.call("POST", f"/exports/jobs/{job}/deliveries", where), jobs))
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        found = client["delivery"]["deliveries"]
        deadline = time.monotonic() + TIMEOUT
        while found.count_documents({"platform_id": platform, "state": "delivered"}) < len(jobs):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not delivered within {TIMEOUT:.0f} s")
            time.sleep(0.05)
    seconds = time.perf_counter() - started
    used = _difference(_cpu(system), before)["delivery"]
    report.add(
        f"{len(jobs)} small files to one {kind} platform",
        f"{len(jobs) / seconds:.1f} a second",
        compared=f"CPU of delivery: {1000 * used / len(jobs):.1f} ms each",
    )
    system.rest.call("DELETE", f"/exports/platforms/{platform}")


def submit(system: System, count: int) -> list[str]:
    """Ask for exports, several at a time; returns the ids of the jobs."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        made = clients.map(lambda _: system.rest.call("POST", "/exports/csv/products", {}), range(count))
        return [str(job["id"]) for job in made]


def until_completed(client: MongoClient[dict[str, Any]], tenant: str, count: int) -> None:
    """Wait for so many exports, and one that was made before."""
    deadline = time.monotonic() + TIMEOUT
    while client["exporter"]["jobs"].count_documents({"tenant": tenant, "state": "completed"}) < count + 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not completed within {TIMEOUT:.0f} s")
        time.sleep(0.05)


def _cpu(system: System) -> dict[str, float]:
    """Seconds of CPU time that each process has used."""
    found = {}
    for name, pid in system.stack.pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def operations(client: MongoClient[dict[str, Any]]) -> dict[str, float]:
    """How many operations of each type MongoDB has counted since its start."""
    counters = client.admin.command("serverStatus")["opcounters"]
    return {name: float(counters[name]) for name in OPERATIONS}


def _difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in after.items()}
