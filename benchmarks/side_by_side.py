"""What others notice of an export of 3,000,000 products: the time of a small export, and of a job's status."""

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
"""So often each client asks for the status, and for so long: a load that leaves room, as pollers do."""


def measure(system: System, report: Report) -> None:
    """Each figure first with nothing else running, then beside the huge export."""
    system.fill(HUGE)
    small = system.of("small")
    small.fill(SMALL)
    job, _ = small.export("csv")
    path = f"/api/v1/exports/jobs/{job['id']}"
    asyncio.run(load(small, path, every=EVERY))  # connections are made
    idle = asyncio.run(load(small, path, every=EVERY, seconds=SECONDS))
    alone = [small.export("csv")[1] for _ in range(RUNS)]
    for form in ("csv", "excel"):
        with _exporting(system, form):
            beside = [small.export("csv")[1] for _ in range(RUNS)]
            busy = asyncio.run(load(small, path, every=EVERY, seconds=SECONDS))
        what = f"beside {HUGE:,} products as {form}"
        report.add(
            f"{SMALL:,} products as CSV, {what}",
            spread(beside),
            compared=f"alone {spread(alone)}; ratio {statistics.median(beside) / statistics.median(alone):.2f}",
            promised="at most 4",
        )
        report.add(
            f"status of a job, {what}",
            busy.text,
            compared=f"idle {idle.text}; ratio of p99 {busy.p99 / idle.p99:.2f}",
            promised="at most 3",
        )


@contextmanager
def _exporting(system: System, form: str) -> Iterator[None]:
    """Exports of the whole catalogue, one after the other, until this is left."""
    enough, begun = threading.Event(), threading.Event()

    def export() -> None:
        while not enough.is_set():
            begun.set()
            system.export(form)

    thread = threading.Thread(target=export)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        enough.set()
        thread.join()
