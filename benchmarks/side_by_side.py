"""How an export of 3,000,000 products slows down small exports and status requests."""

import asyncio
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.report import Report, spread
from benchmarks.status import load
from benchmarks.system import System

HUGE = 3_000_000
SMALL = 5_000
RUNS = 9
EVERY, SECONDS = 0.1, 10.0
"""Interval and duration of each client's status requests: a moderate load, as clients that poll produce it."""


def measure(system: System, report: Report) -> None:
    """Measure each figure with nothing else running, then during the huge export."""
    system.fill(HUGE)
    small = system.of("small")
    small.fill(SMALL)
    job, _ = small.export("csv")
    path = f"/api/v1/exports/jobs/{job['id']}"
    asyncio.run(load(small, path, every=EVERY))  # opens the connections
    idle = asyncio.run(load(small, path, every=EVERY, seconds=SECONDS))
    alone = [small.export("csv")[1] for _ in range(RUNS)]
    for form in ("csv", "excel"):
        with _exporting(system, form):
            beside = [small.export("csv")[1] for _ in range(RUNS)]
            busy = asyncio.run(load(small, path, every=EVERY, seconds=SECONDS))
        what = f"during an export of {HUGE:,} products as {form}"
        report.add(
            f"{SMALL:,} products as CSV, {what}",
            spread(beside),
            compared=f"alone {spread(alone)}; ratio {statistics.median(beside) / statistics.median(alone):.2f}",
            target="at most 4",
        )
        report.add(
            f"status of a job, {what}",
            busy.text,
            compared=f"idle {idle.text}; ratio of p99 {busy.p99 / idle.p99:.2f}",
            target="at most 3",
        )


@contextmanager
def _exporting(system: System, form: str) -> Iterator[None]:
    """Export the whole catalogue in a loop until the block ends."""
    done, started = threading.Event(), threading.Event()

    def export() -> None:
        while not done.is_set():
            started.set()
            system.export(form)

    thread = threading.Thread(target=export)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()
