"""Replicas of the scheduler are killed while thousands of schedules are due: every fire time runs, and runs once."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.scheduler.cron import time_zones
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.documents import schedule_document
from services.scheduler.schedules.schedule import Overlap, Schedule, run_id
from tests.system import Process, System, eventually, running

# The promise is about 2,000 schedules and a kill every second until all are submitted: SCHEDULER_KILL=full.
FULL = os.environ.get("SCHEDULER_KILL") == "full"
SCHEDULES = 2_000 if FULL else 300
KILLS = 1_000 if FULL else 2
REPLICAS = 4
WITHIN = 300.0 if FULL else 60.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Jobs are accepted and left alone: this is about runs."""
    folder = tmp_path_factory.mktemp("replicas")
    with running(folder, with_scheduler=True, WORKER_JOBS="0", MAX_LIVE_JOBS="100000", RETRY_SECONDS="2") as started:
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


@contextmanager
def killing(processes: list[Process]) -> Iterator[list[float]]:
    """At once, and then every second, one of them is killed and started again; yields when that was."""
    kills: list[float] = []
    stop = threading.Event()

    def kill() -> None:
        while len(kills) < KILLS:
            victim = random.choice(processes)
            victim.end(signal.SIGKILL)
            kills.append(time.monotonic())
            victim.start()
            if stop.wait(1.0):
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield kills
    finally:
        stop.set()
        thread.join()


def due_together(system: System, fire_at: datetime) -> list[str]:
    """Schedules of one tenant that fire at that time, and nothing else anywhere; returns their ids."""
    expression = f"{fire_at.minute} {fire_at.hour} * * *"
    made = [_schedule(number, expression, fire_at) for number in range(SCHEDULES)]
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


@pytest.mark.timeout(WITHIN + 60)
@pytest.mark.parametrize("mongod", ["stays", "restarts"])
def test_replicas_that_are_killed_run_every_schedule_once(system: System, mongod: str) -> None:
    fire_at = datetime.now(UTC).replace(second=0, microsecond=0)
    with replicas(system) as processes:
        ids = due_together(system, fire_at)
        eventually("some are submitted", lambda: submitted(system) > 0, WITHIN)
        with killing(processes) as kills:
            if mongod == "restarts":
                system.mongod.kill()
                system.mongod.start()
            eventually("all are submitted", lambda: submitted(system) >= SCHEDULES, WITHIN)
    assert len(kills) >= (10 if FULL else 1), kills
    check(system, ids, fire_at)
