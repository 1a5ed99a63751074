"""What becomes of fire times that have come: run, late, missed, skipped, queued, after pauses and stops."""

import itertools
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.chassis import mongo
from services.scheduler.schedules.schedule import run_id
from services.wire import exporter_pb2
from services.wire import scheduler_pb2 as pb
from tests.integration.exporting import Exporter, eventually, exporter, new_tenant, products
from tests.integration.scheduling import Scheduler, every_tenth_minute, scheduler, this_minute

TWO_HOURS = timedelta(hours=2)
TEN_MINUTES = timedelta(minutes=10)


async def fire_times(made: Scheduler, schedule: pb.Schedule) -> list[datetime]:
    """Every tenth minute of the two hours before its last planned time, that one among them."""
    document = await made.schedules.find_one({"_id": schedule.id})
    assert document is not None
    newest = document["planned_until"]
    assert newest.second == newest.microsecond == 0
    return [newest - TEN_MINUTES * back for back in reversed(range(12))]


async def test_a_schedule_fires_once_and_its_run_completes(scheduling: Scheduler, running: Exporter) -> None:
    schedule = await scheduling.create(options_json='{"file_name": "{schedule}"}')
    wanted = await scheduling.fire(schedule, minutes_ago=0)
    [run] = await scheduling.until(schedule, ["completed"])
    assert run["_id"] == wanted
    [job] = [job async for job in running.jobs.find({"tenant": scheduling.tenant})]
    assert job["_id"] == wanted
    assert (job["schedule_id"], job["schedule_name"]) == (schedule.id, "Nightly")
    assert job["artifact"]["file_name"] == "Nightly.csv"
    assert job["options_json"] == f'{{"file_name": "{{schedule}}", "platform_ids": ["{schedule.platform_id}"]}}'
    shown = (await scheduling.get(schedule)).last_run
    assert (shown.id, shown.job_id, shown.state) == (wanted, wanted, pb.RUN_STATE_COMPLETED)
    assert not shown.HasField("error")
    assert shown.finished_at.ToDatetime() >= shown.started_at.ToDatetime() >= shown.fire_at.ToDatetime()


async def test_after_two_hours_without_the_stack_each_policy_does_what_it_says(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant = new_tenant()
    made: dict[str, pb.Schedule] = {}
    async with exporter(clean_uri, nats_url, tmp_path) as jobs:
        await jobs.fill(tenant, products(10))
        async with scheduler(clean_uri, nats_url, jobs.running.rpc_port, tenant) as before:
            for policy in ("latest", "skip", "all"):
                made[policy] = await before.create(every_tenth_minute(), misfire=policy)
    for schedule in made.values():  # nobody is there, and time passes
        await before_the_stop(clean_uri, schedule)
    async with (
        exporter(clean_uri, nats_url, tmp_path) as jobs,
        scheduler(clean_uri, nats_url, jobs.running.rpc_port, tenant) as after,
    ):
        for policy in ("latest", "skip"):  # the newest is late by less than ten minutes: both run it, and only it
            missed, run = await after.until(made[policy], ["skipped", "completed"])
            due = await fire_times(after, made[policy])
            assert (missed["fire_at"], missed["skipped"], missed["reason"]) == (due[-2], 11, "missed")
            assert (run["fire_at"], run["_id"]) == (due[-1], run_id(made[policy].id, due[-1]))
        runs = await after.until(made["all"], ["completed"] * 12, within=60)
        assert [run["fire_at"] for run in runs] == await fire_times(after, made["all"])
        pairs = itertools.pairwise(runs)
        assert all(run["finished_at"] <= following["started_at"] for run, following in pairs)  # one after the other


async def before_the_stop(mongo_uri: str, schedule: pb.Schedule) -> None:
    """As if the last plan had been two hours ago."""
    client = mongo.connect(mongo_uri, app="tests")
    schedules = client["scheduler"]["schedules"]
    document = await schedules.find_one({"_id": schedule.id})
    assert document is not None
    moved = {name: document[name] - TWO_HOURS for name in ("planned_until", "next_fire_at", "due_at")}
    await schedules.update_one({"_id": schedule.id}, {"$set": moved})
    client.close()


@pytest.mark.parametrize(("policy", "state"), [("latest", "completed"), ("all", "completed"), ("skip", "skipped")])
async def test_a_single_time_missed_by_more_than_the_grace(scheduling: Scheduler, policy: str, state: str) -> None:
    schedule = await scheduling.create(misfire=policy)
    await scheduling.fire(schedule, minutes_ago=90)
    [run] = await scheduling.until(schedule, [state])
    assert run["skipped"] == (1 if state == "skipped" else 0)


async def test_a_single_time_within_the_grace_runs_even_when_missed_ones_are_skipped(scheduling: Scheduler) -> None:
    schedule = await scheduling.create(misfire="skip")
    await scheduling.fire(schedule, minutes_ago=50)
    await scheduling.until(schedule, ["completed"])


async def test_a_stop_of_a_month_ends_in_one_run_and_everything_else_on_record(scheduling: Scheduler) -> None:
    schedule = await scheduling.create("* * * * *")
    month = timedelta(days=30)
    await scheduling.shift(schedule, month)
    await scheduling.planned(schedule)
    runs = await scheduling.runs_of(schedule)
    minutes = sum(max(1, run["skipped"]) for run in runs)
    assert 0 <= minutes - month / timedelta(minutes=1) <= 1
    skipped = [run["state"] == "skipped" for run in runs]
    assert skipped == sorted(skipped, reverse=True)
    assert 1 <= skipped.count(False) <= 2  # two if a minute began meanwhile


async def test_a_run_that_is_there_already_is_not_repeated_and_holds_nothing_up(scheduling: Scheduler) -> None:
    schedule, at = await scheduling.create(), this_minute() - timedelta(minutes=1)
    first = await scheduling.fire_at(schedule, at)
    [done] = await scheduling.until(schedule, ["completed"])
    assert await scheduling.fire_at(schedule, at) == first  # as after a restored backup, or a clock set back
    await scheduling.planned(schedule)
    await scheduling.fire(schedule, minutes_ago=0)
    again, _ = await scheduling.until(schedule, ["completed", "completed"])
    assert again == done


async def test_a_schedule_whose_zone_is_unknown_now_does_not_stop_the_others(scheduling: Scheduler) -> None:
    lost, other = await scheduling.create(), await scheduling.create()
    await scheduling.schedules.update_one({"_id": lost.id}, {"$set": {"timezone": "Mars/Base"}})
    await scheduling.fire(lost, minutes_ago=1)
    await scheduling.fire(other, minutes_ago=0)
    await scheduling.until(other, ["completed"])
    await scheduling.planned(lost)
    assert await scheduling.runs_of(lost) == []
    assert not (await scheduling.get(lost)).HasField("next_run_at")


async def test_a_delay_moves_the_start_and_not_the_fire_time(scheduling: Scheduler) -> None:
    schedule = await scheduling.create("0 9 * * *", jitter_seconds=3_600)
    document = await scheduling.schedules.find_one({"_id": schedule.id})
    assert document is not None
    assert timedelta(0) < document["due_at"] - document["next_fire_at"] < timedelta(hours=1)
    assert document["next_fire_at"] == schedule.next_run_at.ToDatetime(document["next_fire_at"].tzinfo)
    assert (document["next_fire_at"].hour, document["next_fire_at"].minute) == (9, 0)


async def test_what_was_planned_missed_and_submitted_is_counted_once(scheduling: Scheduler) -> None:
    before = await scheduling.metrics()
    schedule = await scheduling.create(every_tenth_minute())
    await scheduling.shift(schedule, TWO_HOURS)
    await scheduling.until(schedule, ["skipped", "completed"])

    async def counted() -> dict[str, float] | None:
        after = await scheduling.metrics()
        grown = {name: after[name] - before.get(name, 0.0) for name in after}
        return grown if grown.get('scheduler_runs_ended_total{outcome="completed"}') == 1 else None

    grown = await eventually("the end of the run is counted", counted)
    assert grown["scheduler_runs_planned_total"] == 1
    assert grown['scheduler_fire_times_skipped_total{reason="missed"}'] == 11
    for name in ("scheduler_lateness_seconds", "scheduler_start_lateness_seconds"):
        assert grown[f"{name}_count"] == 1
        assert 0 < grown[f"{name}_sum"] < 601
    assert {"scheduler_oldest_due_seconds", "scheduler_oldest_waiting_seconds"} <= set(grown)


# Pauses and edits


async def test_a_paused_schedule_does_not_fire_and_makes_up_for_nothing_when_resumed(scheduling: Scheduler) -> None:
    schedule = await scheduling.create(every_tenth_minute(), misfire="all")
    paused = await scheduling.update(schedule, is_active=False)
    assert not paused.HasField("next_run_at")
    document = await scheduling.schedules.find_one({"_id": schedule.id})
    assert document is not None
    assert "due_at" not in document
    long_ago = document["planned_until"] - TWO_HOURS
    await scheduling.schedules.update_one({"_id": schedule.id}, {"$set": {"planned_until": long_ago}})
    resumed = await scheduling.update(schedule, is_active=True)
    assert resumed.next_run_at.ToDatetime() > resumed.updated_at.ToDatetime()
    await scheduling.fire(schedule, minutes_ago=0)  # the next one runs, and nothing else ever did
    await scheduling.until(schedule, ["completed"])


async def test_an_edit_of_the_times_makes_up_for_nothing_and_another_edit_loses_nothing(scheduling: Scheduler) -> None:
    schedule = await scheduling.create("0 0 * * *", is_active=False)
    await scheduling.schedules.update_one({"_id": schedule.id}, {"$set": {"is_active": True}})
    await plan_two_hours_ago(scheduling, schedule)
    same = await scheduling.update(schedule, schedule_name="Other", is_active=True, cron_expression="0 0 * * *")
    assert same.next_run_at.ToDatetime() < same.updated_at.ToDatetime()  # still due
    moved = await scheduling.update(schedule, cron_expression="5 5 * * *")
    assert moved.next_run_at.ToDatetime() > moved.updated_at.ToDatetime()
    assert await scheduling.runs_of(schedule) == []


async def plan_two_hours_ago(made: Scheduler, schedule: pb.Schedule) -> None:
    """Overdue, but `due_at` is kept back, so that the tick does not come first."""
    document: dict[str, Any] | None = await made.schedules.find_one({"_id": schedule.id})
    assert document is not None
    ago = document["created_at"] - TWO_HOURS
    await made.schedules.update_one({"_id": schedule.id}, {"$set": {"planned_until": ago, "next_fire_at": ago}})


async def test_what_waits_for_a_paused_or_deleted_schedule_is_skipped(undone: Scheduler, idle: Exporter) -> None:
    for what, reason in (("pause", "paused"), ("delete", "schedule_deleted")):
        schedule = await undone.create(overlap="queue")
        await undone.fire(schedule, minutes_ago=2)
        await undone.until(schedule, ["submitted"])
        await undone.fire(schedule, minutes_ago=1)
        await undone.until(schedule, ["submitted", "waiting"])
        await (undone.update(schedule, is_active=False) if what == "pause" else undone.delete(schedule))
        _, waited = await undone.until(schedule, ["submitted", "skipped"])
        assert waited["reason"] == reason


# Overlap


async def test_a_run_with_a_live_predecessor_is_skipped(undone: Scheduler) -> None:
    schedule = await undone.create(overlap="skip")
    await undone.fire(schedule, minutes_ago=2)
    await undone.until(schedule, ["submitted"])
    await undone.fire(schedule, minutes_ago=1)
    _, second = await undone.until(schedule, ["submitted", "skipped"])
    assert second["reason"] == "overlap"


async def test_one_run_waits_for_its_predecessor_and_starts_at_its_end(undone: Scheduler, idle: Exporter) -> None:
    schedule = await undone.create(overlap="queue")
    first = await undone.fire(schedule, minutes_ago=3)
    await undone.until(schedule, ["submitted"])
    await undone.fire(schedule, minutes_ago=2)
    await undone.until(schedule, ["submitted", "waiting"])
    await undone.fire(schedule, minutes_ago=1)
    *_, third = await undone.until(schedule, ["submitted", "waiting", "skipped"])
    assert third["reason"] == "queue_full"
    await idle.cancel(exporter_pb2.Job(id=first, tenant=undone.tenant))
    await undone.until(schedule, ["cancelled", "submitted", "skipped"], within=5)


async def test_a_schedule_that_never_ends_its_runs_holds_up_no_other(undone: Scheduler) -> None:
    held, other = await undone.create(misfire="all", overlap="queue"), await undone.create()
    await undone.schedules.update_one({"_id": held.id}, {"$set": {"cron_expression": "* * * * *"}})
    await undone.shift(held, TWO_HOURS)
    await undone.fire(other, minutes_ago=0)
    await undone.until(other, ["submitted"])

    async def waiting() -> bool:
        states = [run["state"] for run in await undone.runs_of(held)]
        return states.count("submitted") == 1 and states.count("waiting") >= 99

    await eventually("one is submitted and the others wait for it", waiting)
