"""A backlog of small jobs: accepted while no worker runs, then worked off by two; the same without NATS."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.report import Report
from benchmarks.small_jobs import operations, submit, until_completed
from benchmarks.system import System, running

JOBS, PRODUCTS = 10_000, 100
NOWHERE = {"NATS_URL": "nats://127.0.0.1:1"}


def measure(system: System, report: Report) -> None:
    """Work off the backlog with NATS, then in a system of its own without."""
    _measure(system.of("backlog"), report, "")
    with (
        tempfile.TemporaryDirectory(prefix="catalog-exports-bench-") as folder,
        running(Path(folder), NOWHERE) as deaf,
    ):
        _measure(deaf.of("backlog"), report, " without NATS")


def _measure(system: System, report: Report, where: str) -> None:
    system.fill(PRODUCTS)
    system.export("csv")
    worker = system.pid("exporter-worker")
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        before = operations(client)
        os.kill(worker, signal.SIGSTOP)
        started = time.perf_counter()
        try:
            submit(system, JOBS)
            accepted = time.perf_counter() - started
            with _second(worker):
                os.kill(worker, signal.SIGCONT)
                started = time.perf_counter()
                until_completed(client, system.tenant, JOBS)
                seconds = time.perf_counter() - started
        finally:
            os.kill(worker, signal.SIGCONT)
        after = operations(client)
    count = sum(after[name] - before[name] for name in after) / JOBS
    report.add(f"{JOBS:,} small exports accepted while no worker runs{where}", f"{JOBS / accepted:.0f} a second")
    report.add(
        f"the same, from the start of two workers to the last one{where}",
        f"{seconds:.0f} s, {JOBS / seconds:.0f} a second",
        compared=f"{count:.1f} operations of MongoDB each",
    )


@contextmanager
def _second(worker: int) -> Iterator[None]:
    """Another worker with the environment of the first."""
    found = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    env = dict(line.split("=", 1) for line in found if "=" in line) | {"GRPC_PORT": "0", "METRICS_PORT": "0"}
    child = subprocess.Popen([sys.executable, "-m", "services.exporter"], env=env, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait(60)
