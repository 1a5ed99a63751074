"""Replicas of the scheduler are killed while thousands of schedules are due: every fire time runs, and runs once."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.scheduler.cron import time_zones
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.documents import schedule_document
from services.scheduler.schedules.schedule import Overlap, Schedule, run_id
from tests.system import Process, System, eventually, running

REPLICAS = 4


@dataclass(frozen=True)
class Size:
    """How many schedules are due together, and how many kills there are at most while they are submitted."""

    schedules: int
    kills: int
    seconds: float
    """Until all of them are submitted."""


# What is promised: 2,000 schedules, and a kill every second until all of them are submitted.
FULL = Size(schedules=2_000, kills=1_000, seconds=300)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Jobs are accepted and left alone: this is about runs."""
    folder = tmp_path_factory.mktemp("replicas")
    with running(
        folder, with_scheduler=True, WORKER_JOBS="0", MAX_LIVE_JOBS="100000", RUN_RETRY_SECONDS="2"
    ) as started:
        started.scheduler.end()
        started.fill("many", [{"_id": "p1", "sku": "S-1"}])
        yield started


@contextmanager
def replicas(system: System) -> Iterator[list[Process]]:
    """Some schedulers, started and ended."""
    names = [f"scheduler-{number}" for number in range(REPLICAS)]
    found = [system.service("services.scheduler", name, GRPC_PORT="0") for name in names]
    for process in found:
        process.start()
    try:
        yield found
    finally:
        for process in found:
            process.end()


def kill_until_submitted(system: System, processes: list[Process], size: Size) -> int:
    """Kill and restart one of the processes every second until all runs are submitted; returns the number of kills.

    In the main thread: the kernel kills a child when the thread that started it ends.
    """
    kills, next_kill = 0, time.monotonic()
    deadline = time.monotonic() + size.seconds
    while kills == 0 or submitted(system) < size.schedules:
        assert time.monotonic() < deadline, "not all are submitted"
        if kills < size.kills and time.monotonic() >= next_kill:
            victim = random.choice(processes)
            victim.end(signal.SIGKILL)
            victim.start()
            kills, next_kill = kills + 1, time.monotonic() + 1.0
        time.sleep(0.05)
    return kills


def due_together(system: System, fire_at: datetime, count: int) -> list[str]:
    """Schedules of one tenant that fire at that time, and nothing else anywhere; returns their ids."""
    expression = f"{fire_at.minute} {fire_at.hour} * * *"
    made = [_schedule(number, expression, fire_at) for number in range(count)]
    with system.mongo() as client:
        for database, collection in (("scheduler", "schedules"), ("scheduler", "runs"), ("exporter", "jobs")):
            client[database][collection].delete_many({})
        client["scheduler"]["schedules"].insert_many([schedule_document(one) for one in made])
    return [one.id for one in made]


def _schedule(number: int, expression: str, fire_at: datetime) -> Schedule:
    before = fire_at - timedelta(minutes=1)
    return Schedule(
        id=f"00000000-0000-4000-8000-{number:012}",
        tenant="many",
        platform_id="00000000-0000-4000-8000-000000000000",
        name=f"Schedule {number}",
        cron_expression=expression,
        timezone="UTC",
        is_active=True,
        format="csv",
        options_json="{}",
        misfire=Policy.LATEST,
        overlap=Overlap.SKIP,
        jitter_seconds=0,
        created_at=before,
        updated_at=before,
        planned_until=before,
        next_fire_at=fire_at,
        rules=time_zones.version(),
    )


def submitted(system: System) -> int:
    with system.mongo() as client:
        return client["scheduler"]["runs"].count_documents({"state": "submitted"})


def check(system: System, schedule_ids: list[str], fire_at: datetime) -> None:
    """One run and one job for each, none beside them."""
    wanted = {run_id(one, fire_at) for one in schedule_ids}
    with system.mongo() as client:
        runs: list[dict[str, Any]] = list(client["scheduler"]["runs"].find())
        jobs: list[dict[str, Any]] = list(client["exporter"]["jobs"].find())
        due = client["scheduler"]["schedules"].count_documents({"planned_until": {"$ne": fire_at}})
    assert len(runs) == len(jobs) == len(schedule_ids)
    assert {run["_id"] for run in runs} == {job["_id"] for job in jobs} == wanted
    assert {run["schedule_id"] for run in runs} == {job["schedule_id"] for job in jobs} == set(schedule_ids)
    assert {run["fire_at"] for run in runs} == {fire_at}
    assert due == 0


@pytest.mark.full
@pytest.mark.timeout(FULL.seconds + 120)
@pytest.mark.parametrize("mongod", ["restarts", "stays"])
def test_replicas_that_are_killed_run_every_schedule_once(system: System, mongod: str) -> None:
    fire_at = datetime.now(UTC).replace(second=0, microsecond=0)
    with replicas(system) as processes:
        ids = due_together(system, fire_at, FULL.schedules)
        eventually("some are submitted", lambda: submitted(system) > 0, FULL.seconds)
        if mongod == "restarts":
            system.mongod.kill()
            system.mongod.start()
        kills = kill_until_submitted(system, processes, FULL)
    assert kills >= 4
    check(system, ids, fire_at)
