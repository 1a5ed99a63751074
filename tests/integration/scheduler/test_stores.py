"""Every compare-and-set of schedules and runs, on a real MongoDB, with the loser of each race."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chassis import mongo
from services.scheduler.cron import time_zones
from services.scheduler.cron.misfire import GRACE, Policy
from services.scheduler.runs.store import RunStore
from services.scheduler.runs.tick import Ticker
from services.scheduler.schedules.schedule import Overlap, Run, RunState, Schedule, run_id
from services.scheduler.schedules.store import Move, ScheduleStore
from tests.integration.exporting import eventually

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture
async def schedules(database: mongo.Database) -> ScheduleStore:
    store = ScheduleStore(database.client, database)
    await store.prepare()
    return store


@pytest.fixture
async def runs(database: mongo.Database) -> RunStore:
    store = RunStore(database)
    await store.prepare()
    return store


def schedule(next_fire_at: datetime | None = NOW - HOUR, **more: Any) -> Schedule:
    plain = Schedule(
        id=str(uuid.uuid4()),
        tenant="shop",
        platform_id=str(uuid.uuid4()),
        name="Nightly",
        cron_expression="0 * * * *",
        timezone="UTC",
        is_active=True,
        format="csv",
        options_json='{"$a": "$b"}',
        misfire=Policy.LATEST,
        overlap=Overlap.SKIP,
        jitter_seconds=0,
        created_at=NOW,
        updated_at=NOW,
        planned_until=NOW - 2 * HOUR,
        next_fire_at=next_fire_at,
        rules=time_zones.version(),
    )
    return replace(plain, **more)


def run_of(one: Schedule, fire_at: datetime = NOW, **more: Any) -> Run:
    return replace(Run(run_id(one.id, fire_at), one.id, one.tenant, fire_at, RunState.WAITING, NOW), **more)


async def all_runs(store: RunStore, one: Schedule) -> list[Run]:
    return await store.page(one.id, before=None, limit=1_000)


# Schedules


async def test_a_schedule_comes_back_as_it_was_stored_and_an_id_is_stored_once(schedules: ScheduleStore) -> None:
    one = schedule()
    assert await schedules.add(one) == one
    assert await schedules.add(replace(one, name="Other")) == one
    assert await schedules.get("shop", one.id) == one
    assert await schedules.get("other", one.id) is None


async def test_only_due_schedules_are_found_the_longest_due_first(schedules: ScheduleStore) -> None:
    due = [schedule(NOW - age * HOUR) for age in (1, 3, 2)]
    for one in (*due, schedule(NOW + HOUR), schedule(None)):
        await schedules.add(one)
    some = (schedule(NOW - timedelta(seconds=1), jitter_seconds=3_600) for _ in range(1_000))
    await schedules.add(next(one for one in some if one.delay > timedelta(minutes=10)))  # its id decides
    assert [one.schedule.id for one in await schedules.due(10)] == [due[1].id, due[2].id, due[0].id]
    assert [one.schedule.id for one in await schedules.due(1)] == [due[1].id]
    assert await schedules.oldest_due_age() == pytest.approx(3 * 3_600, abs=600)


async def test_concurrent_plans_move_a_schedule_once_and_store_its_run_once(
    schedules: ScheduleStore, runs: RunStore
) -> None:
    before = await schedules.add(schedule())
    after = replace(before, planned_until=NOW, next_fire_at=NOW + HOUR)
    plan = [Move(before, after, (run_of(before),))]
    planned = await asyncio.gather(*(schedules.planned(plan) for _ in range(20)))
    assert sorted(one.moved for one in planned) == [0] * 19 + [1]
    assert [one.runs for one in planned if one.runs] == [(run_of(before),)]
    assert await schedules.get("shop", before.id) == replace(after, version=2)
    assert await all_runs(runs, before) == [run_of(before)]


async def test_a_run_that_is_there_already_stays_as_it_is_and_lets_its_schedule_move(
    schedules: ScheduleStore, runs: RunStore
) -> None:
    before = await schedules.add(schedule())
    known = await runs.add(run_of(before, state=RunState.SKIPPED, reason="missed"))
    after = replace(before, next_fire_at=NOW + HOUR)
    older = run_of(before, NOW - HOUR)
    planned = await schedules.planned([Move(before, after, (run_of(before), older))])
    assert (planned.moved, planned.runs) == (1, (older,))
    assert await all_runs(runs, before) == [known, older]


async def test_a_plan_does_not_undo_a_change_or_a_deletion(schedules: ScheduleStore) -> None:
    before = await schedules.add(schedule())
    changed = await schedules.change(before, replace(before, name="Other", next_fire_at=None))
    assert changed is not None
    other = await schedules.add(schedule())
    plan = [Move(one, replace(one, next_fire_at=NOW + HOUR), ()) for one in (before, other)]
    assert (await schedules.planned(plan)).moved == 1  # the other one: they do not hold each other up
    assert await schedules.get("shop", before.id) == changed
    assert await schedules.delete("shop", before.id)
    assert (await schedules.planned([Move(changed, changed, ())])).moved == 0
    assert await schedules.get("shop", before.id) is None
    assert (await schedules.planned([])).moved == 0


async def test_of_two_changes_of_one_version_the_second_changes_nothing(schedules: ScheduleStore) -> None:
    before = await schedules.add(schedule())
    first = await schedules.change(before, replace(before, name="First"))
    assert await schedules.change(before, replace(before, name="Second")) is None
    assert await schedules.get("shop", before.id) == first
    assert await schedules.change(replace(before, tenant="other"), before) is None


async def test_a_schedule_is_deleted_once_and_by_its_tenant(schedules: ScheduleStore) -> None:
    one = await schedules.add(schedule())
    assert not await schedules.delete("other", one.id)
    assert await schedules.delete("shop", one.id)
    assert not await schedules.delete("shop", one.id)


async def test_the_clock_is_the_servers(schedules: ScheduleStore) -> None:
    assert abs(await schedules.now() - datetime.now(UTC)) < timedelta(seconds=10)


async def test_other_rules_of_time_zones_move_times_to_come_and_nothing_else(schedules: ScheduleStore) -> None:
    to_come = await schedules.add(
        schedule(NOW + timedelta(hours=5, minutes=7), rules="1999a", planned_until=NOW - HOUR)
    )
    due = await schedules.add(schedule(NOW - HOUR, rules="1999a"))
    paused = await schedules.add(schedule(None, rules="1999a", is_active=False))
    known = await schedules.add(schedule(NOW + timedelta(hours=5, minutes=7)))
    lost = await schedules.add(schedule(NOW + 5 * HOUR, rules="1999a", timezone="Mars/Base"))
    ticker = Ticker(schedules, batch=1, grace=GRACE)
    assert await ticker.refresh() == 3
    moved = await schedules.get("shop", to_come.id)
    assert moved is not None
    assert moved.next_fire_at is not None
    assert moved.next_fire_at.minute == 0
    assert NOW <= moved.planned_until < moved.next_fire_at  # what the new rules put before now is not made up for
    still_due = await schedules.get("shop", due.id)
    assert still_due is not None
    assert (still_due.planned_until, still_due.rules) == (due.planned_until, time_zones.version())
    assert still_due.next_fire_at is not None
    assert due.planned_until < still_due.next_fire_at < NOW
    assert await schedules.get("shop", paused.id) == paused
    assert await schedules.get("shop", known.id) == known
    unreadable = await schedules.get("shop", lost.id)
    assert unreadable is not None
    assert unreadable.next_fire_at is None
    assert await ticker.refresh() == 0


# Runs


async def test_a_run_is_stored_once(runs: RunStore) -> None:
    one = run_of(schedule())
    assert await runs.add(one) == one
    assert await runs.add(replace(one, fire_at=NOW - HOUR)) == one


async def test_each_due_run_is_taken_by_one_caller_and_due_again_after_the_pause(runs: RunStore) -> None:
    made = [await runs.add(run_of(schedule())) for _ in range(100)]
    taken = await asyncio.gather(*(runs.take_due(RunState.WAITING, 1.0, 1_000) for _ in range(8)))
    assert sorted(run.id for look in taken for run in look) == sorted(run.id for run in made)
    assert await runs.take_due(RunState.WAITING, 1.0, 1_000) == []

    seen: set[str] = set()

    async def again() -> bool:
        seen.update(run.id for run in await runs.take_due(RunState.WAITING, 60.0, 1_000))
        return len(seen) == 100

    await eventually("due again", again, within=15)


async def test_a_look_takes_at_most_so_many_and_of_one_state_only(runs: RunStore) -> None:
    for _ in range(5):
        await runs.add(run_of(schedule()))
    assert await runs.take_due(RunState.SUBMITTED, 60.0, 10) == []
    assert [len(await runs.take_due(RunState.WAITING, 60.0, 2)) for _ in range(4)] == [2, 2, 1, 0]


async def test_tenants_take_turns_at_due_runs(runs: RunStore) -> None:
    greedy, small = schedule(), replace(schedule(), tenant="small")
    for hours in range(20):
        await runs.add(run_of(greedy, NOW - hours * HOUR))
    await runs.add(run_of(small))
    taken = await runs.take_due(RunState.WAITING, 60.0, 4)
    assert sorted(run.tenant for run in taken) == ["shop", "shop", "shop", "small"]


Call = Callable[[RunStore, str], Awaitable[Run | None]]
MOVES: dict[str, Call] = {
    "submitted": lambda store, one: store.submitted(one, 60.0),
    "dropped": lambda store, one: store.dropped(one, RunState.SKIPPED, "$overlap"),
    "ended": lambda store, one: store.ended(one, RunState.COMPLETED, "", NOW),
}
ALLOWED = {
    RunState.WAITING: {"submitted": RunState.SUBMITTED, "dropped": RunState.SKIPPED, "ended": RunState.COMPLETED},
    RunState.SUBMITTED: {"ended": RunState.COMPLETED},
}


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("move", MOVES)
async def test_a_run_moves_as_its_states_allow_and_otherwise_not_at_all(
    runs: RunStore, state: RunState, move: str
) -> None:
    one = await runs.add(run_of(schedule(), state=state))
    expected = ALLOWED.get(state, {}).get(move)
    moved = await MOVES[move](runs, one.id)
    assert (None if moved is None else moved.state) == expected
    [kept] = await all_runs(runs, schedule(id=one.schedule_id))
    assert kept == (moved or one)


async def test_a_run_that_ended_before_it_was_marked_as_submitted_has_a_start(runs: RunStore) -> None:
    one = await runs.add(run_of(schedule()))
    ended = await runs.ended(one.id, RunState.FAILED, "$why", NOW)
    assert ended is not None
    assert (ended.started_at, ended.finished_at, ended.reason) == (NOW, NOW, "$why")
    assert await runs.take_due(RunState.FAILED, 1.0, 10) == []


async def test_a_run_waits_for_submitted_and_earlier_waiting_runs(runs: RunStore) -> None:
    one = schedule()
    going = await runs.add(run_of(one, NOW - 3 * HOUR, state=RunState.SUBMITTED))
    waits = await runs.add(run_of(one, NOW - 2 * HOUR))
    later = await runs.add(run_of(one, NOW + HOUR))
    manual = await runs.add(run_of(one, NOW - HOUR, is_manual=True))
    await runs.add(run_of(one, NOW - 4 * HOUR, state=RunState.COMPLETED))
    await runs.add(run_of(schedule(), NOW - HOUR))
    assert await runs.live_before(run_of(one)) == [going, waits]
    assert await runs.live_before(waits) == [going]
    assert await runs.submitted(manual.id, 60.0) is not None
    assert [run.id for run in await runs.live_before(later)] == [going.id, waits.id, manual.id]


async def test_the_end_of_a_run_wakes_the_one_that_waits_longest(runs: RunStore) -> None:
    one = schedule()
    for age in (1, 3, 2):
        await runs.add(run_of(one, NOW - age * HOUR))
    await runs.add(run_of(schedule()))
    assert len(await runs.take_due(RunState.WAITING, 60.0, 10)) == 4
    await runs.wake(one.id)
    assert [run.fire_at for run in await runs.take_due(RunState.WAITING, 60.0, 10)] == [NOW - 3 * HOUR]


async def test_the_newest_run_of_each_schedule_is_found(runs: RunStore) -> None:
    first, second, none = schedule(), schedule(), schedule()
    for one in (first, second):
        for age in (2, 0, 1):
            await runs.add(run_of(one, NOW - age * HOUR))
    found = await runs.newest([first.id, second.id, none.id])
    assert found == {one.id: run_of(one) for one in (first, second)}


async def test_old_runs_that_ended_are_forgotten(runs: RunStore) -> None:
    one, old = schedule(), datetime.now(UTC) - timedelta(days=2)
    await runs.add(run_of(one, NOW - HOUR, created_at=old, state=RunState.SKIPPED))
    live = await runs.add(run_of(one, NOW - 2 * HOUR, created_at=old.replace(microsecond=0)))
    fresh = await runs.add(run_of(one, NOW, state=RunState.FAILED))
    assert await runs.longest_wait() == pytest.approx(2 * 86_400, abs=60)
    assert await runs.forget(86_400) == 1
    assert await all_runs(runs, one) == [fresh, live]
