"""Runs the benchmarks: `python -m benchmarks [name ...]`. Without a name, all of them."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import (
    accepting,
    backlog,
    beyond_cache,
    cursors,
    deliveries,
    deltas,
    fairness,
    memory,
    recovery,
    schedules,
    side_by_side,
    small_export,
    small_jobs,
    status,
    throughput,
    waiting,
)
from benchmarks.report import Report
from benchmarks.system import System, running

BENCHMARKS: Mapping[str, Callable[[System, Report], None]] = {
    "small_export": small_export.measure,
    "small_jobs": small_jobs.measure,
    "backlog": backlog.measure,
    "throughput": throughput.measure,
    "beyond_cache": beyond_cache.measure,
    "cursors": cursors.measure,
    "deltas": deltas.measure,
    "status": status.measure,
    "memory": memory.measure,
    "side_by_side": side_by_side.measure,
    "schedules": schedules.measure,
    "deliveries": deliveries.measure,
    "fairness": fairness.measure,
    "accepting": accepting.measure,
    "recovery": recovery.measure,
    "waiting": waiting.measure,
}


def main() -> int:
    """Return 0. Targets are reported but not enforced, because results vary between machines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown benchmark: {', '.join(unknown)} (choose from {', '.join(BENCHMARKS)})")
    report = Report()
    with tempfile.TemporaryDirectory(prefix="catalog-exports-bench-") as folder, running(Path(folder)) as system:
        for name in names:
            report.begin(name)
            BENCHMARKS[name](system, report)
    report.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
