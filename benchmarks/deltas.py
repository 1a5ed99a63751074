"""An export with the changes of 0.1 % of a catalogue, and one that keeps a manifest, against a plain full export.

By default with 300,000 products; DELTA_PRODUCTS=3000000 takes some minutes more.
"""

import os
import statistics
import uuid
from typing import Any

from pymongo import MongoClient

from benchmarks.memory import MIB, reset_peak, status
from benchmarks.report import Report
from benchmarks.system import System

PRODUCTS = int(os.environ.get("DELTA_PRODUCTS", "300000"))
SHARE = 1_000
"""One product in so many changes."""
RUNS = 3
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("CSV", "csv", {}),
    ("NDJSON", "json", {"json_lines": True}),
)


def measure(system: System, report: Report) -> None:
    """Medians of some rounds; in each the three exports follow each other."""
    system.fill(PRODUCTS)
    pid = system.pid("exporter-worker")
    for name, form, options in CASES:
        system.export(form, options)  # the first export of a request also discovers its columns
        base, _ = system.export(form, {**options, "manifest": True})
        _change(system)
        bodies = {
            "plain": options,
            "with a manifest": {**options, "manifest": True},
            "changes": {**options, "changes_since": base["id"]},
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in bodies}
        peaks: dict[str, float] = dict.fromkeys(bodies, 0.0)
        jobs: dict[str, dict[str, Any]] = {}
        for _ in range(RUNS):
            for kind, body in bodies.items():
                reset_peak(pid)
                before = status(pid, "VmRSS")
                jobs[kind], taken = system.export(form, body)
                seconds[kind].append(taken)
                peaks[kind] = max(peaks[kind], (status(pid, "VmHWM") - before) / MIB)
        plain = statistics.median(seconds["plain"])
        for kind in bodies:
            middle = statistics.median(seconds[kind])
            target = "" if kind == "plain" else "at least 0.60 of the plain rate"
            report.add(
                f"{PRODUCTS:,} products as {name}, {kind}",
                f"{middle:.2f} s, {peaks[kind]:.0f} MiB growth, file {jobs[kind]['file_size'] / MIB:,.2f} MiB",
                compared=f"rate {plain / middle:.2f} of plain; {_shown(jobs[kind]['records'])}",
                target=target,
            )


def _change(system: System) -> None:
    """Change one product in `SHARE`: of ten of them, one is deleted, and one is new."""
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        products = client["catalogue_default"]["products"]
        for number, product in enumerate(products.find({"sku": {"$regex": "000$"}}).limit(PRODUCTS // SHARE)):
            if number % 10 == 0:
                products.delete_one({"_id": product["_id"]})
            elif number % 10 == 1:
                products.insert_one({**product, "_id": str(uuid.uuid4())})
            else:
                products.update_one({"_id": product["_id"]}, {"$inc": {"stock": 1_000}})


def _shown(records: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in records.items())
