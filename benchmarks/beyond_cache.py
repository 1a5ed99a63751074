"""Exports of a catalogue that is larger than MongoDB's cache and has random ids, compared with raw scans."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from benchmarks.report import Report
from benchmarks.system import System

PRODUCTS = 1_000_000
"""About 740 MB of BSON."""
CACHE = "256M"
RUNS = 3


def measure(system: System, report: Report) -> None:
    """Each round scans in stored order, then exports in stored order; scans and exports by `_id` are slow, so once."""
    system.fill(PRODUCTS)
    with _small_cache(system.mongodb_uri):
        scans, exports = [], []
        _, first = system.export("csv", {"utf8_bom": False})
        for _ in range(RUNS):
            scans.append(_scan(system.mongodb_uri, None))
            exports.append(system.export("csv", {"utf8_bom": False})[1])
        scan, export = statistics.median(scans), statistics.median(exports)
        by_id = _scan(system.mongodb_uri, [("_id", 1)])
        _, ordered = system.export("csv", {"utf8_bom": False, "order_by": ["id"]})
    what = f"{PRODUCTS:,} products, cache of {CACHE}"
    report.add(f"{what}: raw scan in stored order", _rate(scan))
    report.add(f"{what}: raw scan by _id", _rate(by_id), compared=f"stored order; ratio {scan / by_id:.2f}")
    report.add(f"{what}: CSV, first export", _rate(first), compared=f"raw scan; ratio {scan / first:.2f}")
    report.add(f"{what}: CSV, later exports", _rate(export), compared=f"raw scan; ratio {scan / export:.2f}")
    report.add(
        f"{what}: CSV with order_by id", _rate(ordered), compared=f"raw scan by _id; ratio {by_id / ordered:.2f}"
    )


@contextmanager
def _small_cache(mongodb_uri: str) -> Iterator[None]:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        _resize(client, CACHE)
        try:
            yield
        finally:
            _resize(client, "512M")  # as deploy/local/servers/mongod.py starts it


def _resize(client: MongoClient[dict[str, Any]], size: str) -> None:
    client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=f"cache_size={size}")


def _scan(mongodb_uri: str, sort: list[tuple[str, int]] | None) -> float:
    """Seconds PyMongo takes to read all documents without decoding them."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.admin.command("ping")
        started = time.perf_counter()
        for _ in client["catalogue_default"]["products"].find_raw_batches({}, sort=sort):
            pass
        return time.perf_counter() - started


def _rate(seconds: float) -> str:
    return f"{PRODUCTS / seconds:,.0f}/s, {seconds:.1f} s"
