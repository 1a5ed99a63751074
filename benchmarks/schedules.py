"""How late schedules start if many are due in the same minute, and what a tick costs if most are not due."""

import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient

from benchmarks.report import Report, spread
from benchmarks.system import System
from services.chassis import mongo
from services.chassis.telemetry import logs
from services.scheduler.cron import time_zones
from services.scheduler.cron.misfire import GRACE, Policy
from services.scheduler.runs.tick import Ticker
from services.scheduler.schedules.documents import schedule_document
from services.scheduler.schedules.schedule import Overlap, Schedule
from services.scheduler.schedules.store import ScheduleStore

TOGETHER = 5_000
TENANTS = 10
TIMEOUT = 600.0
MANY, FEW, DUE = 100_000, 1_000, 10
TICKS = 31
MINUTE = timedelta(minutes=1)
FAR = timedelta(days=365)


def measure(system: System, report: Report) -> None:
    """Measure lateness in the running system, and ticks in this process, alternating between the two sizes."""
    with MongoClient[dict[str, Any]](system.mongodb_uri, tz_aware=True) as client:
        for number in range(TENANTS):
            client[f"catalogue_bench{number}"]["products"].insert_one({"sku": "S-1"})
        _lateness(client, 1)  # imports on first use do not count as lateness
        alone = _lateness(client, 1)
        together = _lateness(client, TOGETHER)
    for what in ("planned", "submitted"):
        report.add(
            f"{TOGETHER:,} schedules due in the same minute: {what} after",
            _percentiles(together[what]),
            compared=f"one schedule alone: {alone[what][0]:.2f} s",
        )
    few, many = asyncio.run(_ticks(system.mongodb_uri))
    ratio = statistics.median(many) / statistics.median(few)
    report.add(
        f"a tick with {DUE} of {MANY:,} schedules due",
        spread(many),
        compared=f"{DUE} of {FEW:,}: {spread(few)}; ratio {ratio:.2f}",
        target="ratio below 1.5",
    )


def _lateness(client: MongoClient[dict[str, Any]], count: int) -> dict[str, list[float]]:
    """Sorted seconds from the fire time to the run and to its job, for `count` schedules due at the same time."""
    fire_at = (datetime.now(UTC) + timedelta(seconds=10)).replace(second=0, microsecond=0) + MINUTE
    made = [_schedule(f"bench{number % TENANTS}", fire_at, fire_at - 2 * MINUTE) for number in range(count)]
    client["scheduler"]["schedules"].insert_many(map(schedule_document, made))
    runs = client["scheduler"]["runs"]
    wanted: dict[str, Any] = {"fire_at": fire_at, "started_at": {"$ne": None}}
    deadline = time.monotonic() + 2 * MINUTE.total_seconds() + TIMEOUT
    while runs.count_documents(wanted) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} schedules were not submitted in time")
        time.sleep(0.5)
    found = list(runs.find(wanted))
    return {
        "planned": sorted((run["created_at"] - fire_at).total_seconds() for run in found),
        "submitted": sorted((run["started_at"] - fire_at).total_seconds() for run in found),
    }


async def _ticks(mongodb_uri: str) -> tuple[list[float], list[float]]:
    """Seconds per tick with few and with many schedules."""
    logs.configure("benchmarks", level="WARNING", form="console")
    client = mongo.connect(mongodb_uri, app="benchmarks")
    try:
        sizes = [await _filled(client, FEW), await _filled(client, MANY)]
        seconds: list[list[float]] = [[], []]
        for _ in range(TICKS):
            for (store, database), kept in zip(sizes, seconds, strict=True):
                await _make_due(database)
                ticker = Ticker(store, batch=500, grace=GRACE)
                started = time.perf_counter()
                planned = await ticker.tick()
                kept.append(time.perf_counter() - started)
                if planned != DUE:
                    raise RuntimeError(f"{planned} schedules were planned instead of {DUE}")
        return seconds[0], seconds[1]
    finally:
        client.close()


async def _filled(client: mongo.Client, count: int) -> tuple[ScheduleStore, mongo.Database]:
    """Create a database with `count` schedules that are not due for a year."""
    database = client[f"bench_{count}"]
    await client.drop_database(database.name)
    store = ScheduleStore(client, database)
    await store.prepare()
    now = datetime.now(UTC)
    for start in range(0, count, 10_000):
        part = [_schedule("bench", now + FAR, now) for _ in range(start, min(count, start + 10_000))]
        await database["schedules"].insert_many(map(schedule_document, part))
    return store, database


async def _make_due(database: mongo.Database) -> None:
    """Make some of them due since a minute ago."""
    fire_at = datetime.now(UTC).replace(second=0, microsecond=0) - MINUTE
    cron = f"{fire_at.minute} {fire_at.hour} * * *"
    times = {"planned_until": fire_at - MINUTE, "next_fire_at": fire_at, "due_at": fire_at, "cron_expression": cron}
    chosen = [document["_id"] async for document in database["schedules"].find({}, {"_id": 1}).limit(DUE)]
    await database["schedules"].update_many({"_id": {"$in": chosen}}, {"$set": times})
    await database["runs"].delete_many({})


def _schedule(tenant: str, fire_at: datetime, planned_until: datetime) -> Schedule:
    return Schedule(
        id=str(uuid.uuid4()),
        tenant=tenant,
        platform_id=str(uuid.uuid4()),
        name="Bench",
        cron_expression=f"{fire_at.minute} {fire_at.hour} * * *",
        timezone="UTC",
        is_active=True,
        format="csv",
        options_json="{}",
        misfire=Policy.LATEST,
        overlap=Overlap.SKIP,
        jitter_seconds=0,
        created_at=planned_until,
        updated_at=planned_until,
        planned_until=planned_until,
        next_fire_at=fire_at,
        rules=time_zones.version(),
    )


def _percentiles(ordered: Sequence[float]) -> str:
    p99 = ordered[int(len(ordered) * 0.99)]
    return f"p50 {statistics.median(ordered):.2f} s, p99 {p99:.2f} s"
