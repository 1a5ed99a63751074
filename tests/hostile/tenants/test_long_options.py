"""Options of the greatest length cost memory only where they are shown, a few MiB at a time."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis import mongo
from services.exporter.jobs.job import NewJob, Stage
from services.exporter.jobs.store import JobStore
from services.exporter.requests.request import MAX_OPTIONS_BYTES
from services.scheduler.cron import time_zones
from services.scheduler.cron.misfire import Policy
from services.scheduler.runs.tick import Ticker
from services.scheduler.schedules.schedule import Overlap, Schedule
from services.scheduler.schedules.store import ScheduleStore
from tests.mongo_traffic import Traffic, observed

COUNT = 40
LONG = f'{{"file_name":"{"x" * (MAX_OPTIONS_BYTES - 16)}"}}'
MAX_READ = 8 * 2**20
"""A page of 3 MiB, and what a batch may read beyond it."""
NOW = datetime.now(UTC).replace(microsecond=0)


class Reporting:
    """Progress of an attempt."""

    stage = Stage.READING
    processed = 1
    total = None


@pytest.fixture(scope="module")
async def database(mongo_uri: str) -> AsyncIterator[tuple[mongo.Database, Traffic]]:
    with observed(mongo_uri, "long_options") as (own, traffic):
        await own.client.drop_database(own)
        yield own, traffic
        await own.client.drop_database(own)


@pytest.fixture
def traffic(database: tuple[mongo.Database, Traffic]) -> Traffic:
    database[1].reset()
    return database[1]


@pytest.fixture(scope="module")
async def jobs(database: tuple[mongo.Database, Traffic]) -> JobStore:
    store = JobStore(database[0])
    await store.prepare()
    for _ in range(COUNT):
        await store.accept(NewJob(str(uuid.uuid4()), "greedy", "csv", LONG, "hash", max_attempts=3))
    return store


@pytest.fixture(scope="module")
async def schedules(database: tuple[mongo.Database, Traffic]) -> ScheduleStore:
    store = ScheduleStore(database[0].client, database[0])
    await store.prepare()
    for _ in range(COUNT):
        await store.add(_due())
    return store


def _due() -> Schedule:
    return Schedule(
        id=str(uuid.uuid4()),
        tenant="greedy",
        platform_id=str(uuid.uuid4()),
        name="Hourly",
        cron_expression="0 * * * *",
        timezone="UTC",
        is_active=True,
        format="csv",
        options_json=LONG,
        misfire=Policy.LATEST,
        overlap=Overlap.SKIP,
        jitter_seconds=0,
        created_at=NOW,
        updated_at=NOW,
        planned_until=NOW - timedelta(hours=2),
        next_fire_at=NOW - timedelta(hours=1),
        rules="outdated",
    )


async def test_a_list_of_jobs_reads_a_page_of_a_few_mib_at_a_time(jobs: JobStore, traffic: Traffic) -> None:
    before, seen, more = None, set[str](), True
    while more:
        traffic.reset()
        page = await jobs.page("greedy", states=[], form="", schedule_id="", after=before, limit=200)
        assert traffic.received < MAX_READ
        seen |= {job.id for job in page}
        before, more = (page[-1].created_at, page[-1].id), page.has_more
    assert len(seen) == COUNT


async def test_work_on_a_job_reads_its_options_once(jobs: JobStore, traffic: Traffic) -> None:
    page = await jobs.page("greedy", states=[], form="", schedule_id="", after=None, limit=1)
    lease = await jobs.claim("greedy", "worker", 30)
    assert lease is not None
    assert lease.job.options_json == LONG
    traffic.reset()
    assert await jobs.heartbeat(lease, Reporting(), 30)
    assert await jobs.give_back(lease)
    assert len(await jobs.due(1)) == 1
    assert len(await jobs.by_ids([page[0].id])) == 1
    assert traffic.received < 20_000


async def test_a_list_of_schedules_reads_a_page_of_a_few_mib(schedules: ScheduleStore, traffic: Traffic) -> None:
    page = await schedules.page("greedy", platform_id="", before=None, limit=200)
    assert traffic.received < MAX_READ
    assert 0 < len(page) < COUNT
    assert page.has_more


async def test_a_tick_reads_no_options(schedules: ScheduleStore, traffic: Traffic) -> None:
    ticker = Ticker(schedules, batch=500, grace=timedelta(days=1))
    assert await ticker.refresh() == COUNT
    assert await ticker.tick() == COUNT
    await ticker.measure()
    assert traffic.received < COUNT * 2_000
    [one] = (await schedules.page("greedy", platform_id="", before=None, limit=1)) or [None]
    assert one is not None
    assert (one.options_json, one.name, one.rules) == (LONG, "Hourly", time_zones.version())
    assert one.next_fire_at is not None
    assert one.next_fire_at > NOW
