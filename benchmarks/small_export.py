"""Exports 5,000 products as CSV, and compares it with a script that uses PyMongo and csv."""

import csv
import io
import statistics
import time
from typing import Any

from pymongo import MongoClient

from benchmarks.flattening import flat
from benchmarks.report import Report, spread
from benchmarks.system import System

PRODUCTS = 5_000
RUNS = 9


def measure(system: System, report: Report) -> None:
    """Measure the median of several runs, alternating with the script."""
    system.fill(PRODUCTS)
    system.export("csv")  # the first export also discovers the columns
    exports, scripts = [], []
    for _ in range(RUNS):
        exports.append(system.export("csv")[1])
        scripts.append(_script(system.mongodb_uri))
    ratio = statistics.median(exports) / statistics.median(scripts)
    report.add(
        f"{PRODUCTS:,} products as CSV, POST to completed",
        spread(exports),
        compared=f"script with PyMongo and csv: {spread(scripts)}; ratio {ratio:.2f}",
    )


def _script(mongodb_uri: str) -> float:
    """Seconds that a typical hand-written script takes: find, flatten, csv writer into memory."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        started = time.perf_counter()
        rows = [dict(flat(document)) for document in client["catalogue_default"]["products"].find()]
        names = list(dict.fromkeys(name for row in rows for name in row))
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, names)
        writer.writeheader()
        writer.writerows(rows)
        return time.perf_counter() - started
