"""Whether several cursors would read a catalogue faster than one: mongod gives one core to each.

The upper bound of a gain: the halves of a catalogue, in two collections, each read by a process of its own.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pymongo import CursorType, MongoClient

from benchmarks.report import Report
from benchmarks.system import System

PRODUCTS = 300_000
ROUNDS = 5


def measure(system: System, report: Report) -> None:
    """Compare one cursor with two, with mongod on all cores and on one of them."""
    system.fill(PRODUCTS)
    products = f"catalogue_{system.tenant}.products"
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        found = client[f"catalogue_{system.tenant}"]["products"]
        for number in range(2):
            found.aggregate([{"$skip": number * PRODUCTS // 2}, {"$limit": PRODUCTS // 2}, {"$out": f"half{number}"}])
    halves = [f"catalogue_{system.tenant}.half{number}" for number in range(2)]
    mongod = system.pid("mongod")
    cores = sorted(os.sched_getaffinity(mongod))
    for where, allowed in (("all cores", cores), ("one core", cores[:1])):
        with _pinned(mongod, allowed):
            one, two = [], []
            for _ in range(ROUNDS):
                one.append(_seconds(system.mongodb_uri, [products]))
                two.append(_seconds(system.mongodb_uri, halves))
        report.add(
            f"mongod on {where}: {PRODUCTS:,} products read with two cursors",
            f"{PRODUCTS / statistics.median(two):,.0f}/s",
            compared=f"one cursor {PRODUCTS / statistics.median(one):,.0f}/s; "
            f"ratio {statistics.median(one) / statistics.median(two):.2f}",
        )


@contextmanager
def _pinned(pid: int, cores: Sequence[int]) -> Iterator[None]:
    """Keep all threads of a process on these cores."""
    before = os.sched_getaffinity(pid)
    _pin(pid, cores)
    try:
        yield
    finally:
        _pin(pid, sorted(before))


def _pin(pid: int, cores: Sequence[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)


def _seconds(uri: str, collections: Sequence[str]) -> float:
    """How long it takes to read the collections at the same time, without the start of the processes."""
    readers = [
        subprocess.Popen([sys.executable, "-m", __name__, uri, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in collections
    ]
    for reader in readers:
        assert reader.stdout is not None
        reader.stdout.readline()  # it is connected
    started = time.perf_counter()
    for reader in readers:
        reader.communicate(b"\n")
    return time.perf_counter() - started


def _read(uri: str, name: str) -> None:
    """Connect, wait for a line, and read a collection as the exporter does."""
    database, collection = name.split(".")
    with MongoClient[dict[str, Any]](uri) as client, client.start_session(snapshot=True) as session:
        client.admin.command("ping")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        cursor = client[database][collection].find_raw_batches(
            {}, session=session, batch_size=1_000, cursor_type=CursorType.EXHAUST
        )
        for _ in cursor:
            pass


if __name__ == "__main__":
    _read(*sys.argv[1:])
