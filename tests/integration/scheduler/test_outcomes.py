"""From a run to its job and back: what is refused, what has to wait for others, and how its end is heard of."""

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import nats
import pytest

from deploy.local.servers import Mongod, NatsServer, free_port
from services.wire import exporter_pb2, scheduler_pb2
from tests.integration.exporting import Exporter, exporter, new_tenant, products, refused
from tests.integration.scheduling import Scheduler, options, scheduler


def job(made: Scheduler, run_id: str) -> exporter_pb2.Job:
    """The job of a run, as far as a call needs it."""
    return exporter_pb2.Job(id=run_id, tenant=made.tenant)


async def test_a_run_the_exporter_refuses_fails_with_the_reason_and_wakes_who_waits(undone: Scheduler) -> None:
    schedule = await undone.create(options_json=options(include_fields=["cost_prize"]), overlap="queue")
    await undone.fire(schedule, minutes_ago=1)  # the catalogue is looked at when the run starts, as it may change
    [run] = await undone.until(schedule, ["failed"])
    assert run["reason"].startswith("unknown_field: ")
    assert "cost_prize" in run["reason"]
    shown = (await undone.get(schedule)).last_run
    assert (shown.state, shown.job_id) == (scheduler_pb2.RUN_STATE_FAILED, "")
    assert f"{shown.error.code}: {shown.error.message}" == run["reason"]


async def test_a_failed_job_is_a_failed_run_with_the_jobs_reason(scheduling: Scheduler, running: Exporter) -> None:
    schedule = await scheduling.create()
    await running.client.drop_database(f"catalogue_{scheduling.tenant}")
    await scheduling.fire(schedule, minutes_ago=0)
    [run] = await scheduling.until(schedule, ["failed"])
    assert run["reason"].startswith("catalogue_missing: ")


async def test_a_cancelled_job_is_a_cancelled_run(undone: Scheduler, idle: Exporter) -> None:
    schedule = await undone.create()
    wanted = await undone.fire(schedule, minutes_ago=0)
    await undone.until(schedule, ["submitted"])
    await idle.cancel(job(undone, wanted))
    [run] = await undone.until(schedule, ["cancelled"])
    assert run["reason"] == ""


@pytest.mark.parametrize("since", ["changed", "paused"])
async def test_a_job_that_is_there_already_is_followed_whatever_became_of_the_schedule(
    undone: Scheduler, idle: Exporter, since: str
) -> None:
    schedule = await undone.create()
    wanted = await undone.fire(schedule, minutes_ago=0)
    [run] = await undone.until(schedule, ["submitted"])
    # As a replica leaves it that died between the exporter's answer and its own note of it.
    waiting = {**run, "state": "waiting", "due_at": run["created_at"], "started_at": None}
    change: dict[str, Any] = {"changed": {"options_json": options(utf8_bom=False)}, "paused": {"is_active": False}}
    await undone.update(schedule, **change[since])
    await undone.runs.replace_one({"_id": wanted}, waiting)
    [again] = await undone.until(schedule, ["submitted"])
    assert (again["reason"], again["fire_at"]) == ("", run["fire_at"])
    assert await idle.jobs.count_documents({"tenant": undone.tenant}) == 1


async def test_a_run_completes_although_its_platform_was_deleted(scheduling: Scheduler) -> None:
    schedule = await scheduling.create()
    scheduling.platforms.known.clear()
    await scheduling.fire(schedule, minutes_ago=0)
    await scheduling.until(schedule, ["completed"])  # its delivery fails, and says so on the job


async def test_without_nats_an_outcome_is_asked_for(clean_uri: str, mongod: Mongod, tmp_path: Path) -> None:
    nowhere, tenant = f"nats://127.0.0.1:{free_port()}", new_tenant()
    async with (
        exporter(clean_uri, nowhere, tmp_path, worker_jobs=0) as jobs,
        scheduler(clean_uri, nowhere, jobs.running.rpc_port, tenant, follow_seconds=0.5) as made,
    ):
        await jobs.fill(tenant, products(10))
        schedule = await made.create(overlap="queue")
        first = await made.fire(schedule, minutes_ago=2)
        await made.until(schedule, ["submitted"])
        await made.fire(schedule, minutes_ago=1)
        await made.until(schedule, ["submitted", "waiting"])
        await jobs.cancel(job(made, first))
        await made.until(schedule, ["cancelled", "submitted"], within=10)


async def test_a_deleted_job_ends_its_run(clean_uri: str, tmp_path: Path) -> None:
    nowhere, tenant = f"nats://127.0.0.1:{free_port()}", new_tenant()
    async with (
        exporter(clean_uri, nowhere, tmp_path, worker_jobs=0) as jobs,
        scheduler(clean_uri, nowhere, jobs.running.rpc_port, tenant, follow_seconds=0.5) as made,
    ):
        await jobs.fill(tenant, products(10))
        schedule = await made.create()
        wanted = await made.fire(schedule, minutes_ago=0)
        await made.until(schedule, ["submitted"])
        await made.runs.update_one({"_id": wanted}, {"$unset": {"due_at": 1}})  # nobody asks before it is deleted
        await jobs.cancel(job(made, wanted))
        await jobs.jobs.delete_one({"_id": wanted})  # the exporter does not, as it cannot report the end without NATS
        long_ago = datetime(2026, 1, 1) - timedelta(days=1)
        await made.runs.update_one({"_id": wanted}, {"$set": {"due_at": long_ago}})
        [run] = await made.until(schedule, ["failed"], within=10)
        assert run["reason"].startswith("job_deleted: ")


async def test_events_that_mean_nothing_to_the_scheduler_are_passed_over(
    scheduling: Scheduler, running: Exporter, nats_server: NatsServer
) -> None:
    client = await nats.connect(nats_server.url)
    stream = client.jetstream()
    for payload in (b"\xff\xff", b"", b"\x0a\x05other"):
        await stream.publish("exports.events.completed", payload)
    await running.completed(scheduling.tenant)  # somebody's own export
    await client.close()
    schedule = await scheduling.create()
    await scheduling.fire(schedule, minutes_ago=0)
    await scheduling.until(schedule, ["completed"])


async def test_runs_wait_while_the_exporter_is_away_and_start_when_it_is_back(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    port, tenant = free_port(), new_tenant()
    async with scheduler(clean_uri, nats_url, port, tenant) as made:
        async with exporter(clean_uri, nats_url, tmp_path, grpc_port=port) as jobs:
            await jobs.fill(tenant, products(10))
            schedules = [await made.create() for _ in range(3)]
        for schedule in schedules:
            await made.fire(schedule, minutes_ago=0)
        manual = await made.run(schedules[0])
        for schedule in schedules[1:]:
            await made.until(schedule, ["waiting"])
        async with exporter(clean_uri, nats_url, tmp_path, grpc_port=port):
            for schedule in schedules[1:]:
                await made.until(schedule, ["completed"])
            await made.until_run(manual.id, "completed")


@pytest.mark.parametrize("away", ["exporter", "delivery"])
async def test_a_schedule_cannot_be_created_while_a_service_that_checks_it_is_down(
    clean_uri: str, nats_url: str, tmp_path: Path, away: str
) -> None:
    nowhere = free_port()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0) as jobs:
        gone = {f"{away}_address": f"127.0.0.1:{nowhere}", "rpc_deadline": 5.0}
        async with scheduler(clean_uri, nats_url, jobs.running.rpc_port, new_tenant(), **gone) as made:
            async with refused(grpc.StatusCode.UNAVAILABLE, f"{away}_unavailable"):
                await made.create(schedule_id=str(uuid.uuid4()))
            assert await made.schedules.count_documents({}) == 0
