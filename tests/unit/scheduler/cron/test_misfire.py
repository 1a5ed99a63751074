"""What runs after a stop: each policy, the grace, the most there can be, and clocks that were set back."""

from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.cron.cron import parse
from services.scheduler.cron.misfire import Plan, Policy, plan

HOURLY = parse("0 * * * *", "UTC")
DAILY = parse("0 9 * * *", "Europe/Paris")
MINUTELY = parse("* * * * *", "UTC")


def at(time: str, day: int = 15) -> datetime:
    return datetime.fromisoformat(f"2026-03-{day:02}T{time}Z")


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("now", ["10:00", "10:00:01", "10:59:59"])
def test_a_time_late_by_less_than_the_grace_runs_with_its_original_time(policy: Policy, now: str) -> None:
    found = plan(HOURLY, last=at("09:00"), now=at(now), policy=policy)
    assert (found.run, found.skipped, found.next_fire) == ((at("10:00"),), (), at("11:00"))


@pytest.mark.parametrize("policy", Policy)
def test_nothing_is_due_before_its_time(policy: Policy) -> None:
    found = plan(HOURLY, last=at("09:00"), now=at("09:59:59.999999"), policy=policy)
    assert (found.run, found.skipped, found.next_fire) == ((), (), at("10:00"))


@pytest.mark.parametrize(("policy", "runs"), [(Policy.LATEST, True), (Policy.SKIP, False), (Policy.ALL, True)])
def test_a_single_time_late_by_the_grace_is_up_to_the_policy(policy: Policy, runs: bool) -> None:
    """09:00 in Paris is 08:00 UTC in winter."""
    found = plan(DAILY, last=at("08:00", day=14), now=at("09:00"), policy=policy)
    assert found.run == ((at("08:00"),) if runs else ())
    assert found.skipped == (() if runs else (at("08:00"),))
    assert found.next_fire == at("08:00", day=16)


@pytest.mark.parametrize(
    ("policy", "run", "skipped"),
    [
        (Policy.LATEST, ["12:00"], ["10:00", "11:00"]),
        (Policy.SKIP, ["12:00"], ["10:00", "11:00"]),
        (Policy.ALL, ["10:00", "11:00", "12:00"], []),
    ],
)
def test_of_several_the_newest_is_late_and_the_others_are_missed(
    policy: Policy, run: list[str], skipped: list[str]
) -> None:
    found = plan(HOURLY, last=at("09:00"), now=at("12:05"), policy=policy)
    assert found.run == tuple(map(at, run))
    assert found.skipped == tuple(map(at, skipped))
    assert found.next_fire == at("13:00")


@pytest.mark.parametrize(("policy", "run"), [(Policy.LATEST, [15]), (Policy.SKIP, []), (Policy.ALL, [12, 13, 14, 15])])
def test_several_that_are_all_later_than_the_grace(policy: Policy, run: list[int]) -> None:
    found = plan(DAILY, last=at("08:00", day=11), now=at("20:00"), policy=policy)
    assert found.run == tuple(at("08:00", day=day) for day in run)
    assert found.skipped == tuple(at("08:00", day=day) for day in (12, 13, 14, 15) if day not in run)


def test_the_grace_is_the_callers() -> None:
    def late(grace: timedelta) -> Plan:
        return plan(HOURLY, last=at("09:00"), now=at("10:10"), policy=Policy.SKIP, grace=grace)

    assert late(timedelta(minutes=10)).skipped == (at("10:00"),)
    assert late(timedelta(minutes=11)).run == (at("10:00"),)


def test_all_means_the_newest_hundred_and_the_rest_is_recorded() -> None:
    found = plan(MINUTELY, last=at("09:00"), now=at("11:00"), policy=Policy.ALL)
    due = tuple(at("09:00") + timedelta(minutes=minute) for minute in range(1, 121))
    assert (found.skipped, found.run) == (due[:20], due[20:])


@pytest.mark.parametrize(("policy", "runs"), [(Policy.LATEST, 1), (Policy.SKIP, 1), (Policy.ALL, 100)])
def test_a_stop_of_days_is_planned_in_slices_that_leave_no_time_out(policy: Policy, runs: int) -> None:
    last, now = at("09:00", day=10), at("09:00", day=15)
    run: list[datetime] = []
    skipped: list[datetime] = []
    planned = last
    for _ in range(20):
        found = plan(MINUTELY, last=planned, now=now, policy=policy)
        assert len(found.run) + len(found.skipped) < 1_000
        run += found.run
        skipped += found.skipped
        planned = max([planned, *found.run, *found.skipped])
        if found.next_fire is not None and found.next_fire > now:
            break
        assert found.next_fire == planned + timedelta(minutes=1)
    assert planned == now
    assert len(run) == runs
    assert skipped + run == [last + timedelta(minutes=minute) for minute in range(1, 5 * 24 * 60 + 1)]


@pytest.mark.parametrize("minutes", [100, 101, 999, 1_000, 1_001, 1_099, 1_100, 1_901])
def test_all_runs_the_newest_hundred_also_where_a_slice_ends(minutes: int) -> None:
    last = at("09:00")
    now = last + timedelta(minutes=minutes)
    found = plan(MINUTELY, last=last, now=now, policy=Policy.ALL)
    while found.next_fire is not None and found.next_fire <= now:
        found = plan(MINUTELY, last=found.skipped[-1], now=now, policy=Policy.ALL)
    assert found.run == tuple(now - timedelta(minutes=number) for number in reversed(range(100)))


@pytest.mark.parametrize("policy", Policy)
def test_a_clock_that_was_set_back_repeats_no_run(policy: Policy) -> None:
    found = plan(HOURLY, last=at("12:00"), now=at("09:30"), policy=policy)
    assert (found.run, found.skipped, found.next_fire) == ((), (), at("13:00"))


def test_a_time_planned_before_its_time_came_is_not_planned_again() -> None:
    found = plan(HOURLY, last=at("12:00"), now=at("12:00"), policy=Policy.ALL)
    assert (found.run, found.next_fire) == ((), at("13:00"))


@pytest.mark.parametrize("policy", Policy)
def test_fire_times_are_strictly_increasing_whatever_the_clock_does(policy: Policy) -> None:
    """The clock jumps by hours, forward and back; each plan goes on from the last."""
    last = at("00:00")
    seen: list[datetime] = []
    for jump in (5, -3, 1, 1, 30, -40, 41, 0, 2):
        now = last + timedelta(hours=jump, minutes=7)
        found = plan(HOURLY, last=last, now=now, policy=policy)
        seen += sorted([*found.run, *found.skipped])
        last = seen[-1]
    assert seen == [at("00:00") + timedelta(hours=hour) for hour in range(1, len(seen) + 1)]


def test_a_time_the_clock_moved_or_repeats_is_missed_once() -> None:
    nightly = parse("30 2 * * *", "Europe/Paris")
    spring = plan(nightly, last=at("12:00", day=27), now=at("12:00", day=29), policy=Policy.ALL)
    assert spring.run == (at("01:30", day=28), at("01:00", day=29))
    october = datetime(2026, 10, 24, 12, tzinfo=UTC)
    autumn = plan(nightly, last=october, now=october + timedelta(days=1), policy=Policy.ALL)
    assert autumn.run == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC),)
