"""Schedules that run every minute, and the account of their runs."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.torture.account import DUPLICATED, LOST, STUCK, WRONG, Account, Job
from tests.torture.clients import Platform
from tests.torture.orders import PRICES, Order
from tests.torture.rest import Rest

MINUTE = timedelta(minutes=1)
RUN_DEADLINE = 300.0
LIVE = ("waiting", "submitted")


@dataclass(frozen=True)
class Watched:
    """A schedule and its first fire time."""

    id: str
    tenant: str
    platform: Platform
    overlap: str
    first: datetime


def created(rests: Mapping[str, Rest], platforms: Mapping[str, Sequence[Platform]]) -> list[Watched]:
    """One schedule for each tenant and platform, by turns with both rules for overlapping runs."""
    found = []
    for tenant, rest in rests.items():
        for number, platform in enumerate(platforms[tenant]):
            overlap = ("queue", "skip")[number % 2]
            body = {
                "platform_id": platform.id,
                "schedule_name": f"{tenant} {platform.destination.kind}",
                "cron_expression": "* * * * *",
                "format": "json",
                "options": PRICES,
                "misfire": "all",
                "overlap": overlap,
            }
            made = rest.call("POST", "/exports/schedules", body).json
            first = datetime.fromisoformat(made["next_run_at"])
            found.append(Watched(made["id"], tenant, platform, overlap, first))
    return found


def paused(rests: Mapping[str, Rest], watched: Sequence[Watched]) -> datetime:
    """Pause all, away from the full minute; returns the last fire time that must have a run."""
    while not 3 <= datetime.now(UTC).second <= 45:
        time.sleep(0.5)
    last = datetime.now(UTC).replace(second=0, microsecond=0)
    for one in watched:
        runs = _runs(rests[one.tenant], one)
        deadline = time.monotonic() + RUN_DEADLINE
        while max((_fire(run) for run in runs), default=one.first - MINUTE) < last and time.monotonic() < deadline:
            time.sleep(0.5)
            runs = _runs(rests[one.tenant], one)
    return last


def settled(rests: Mapping[str, Rest], watched: Sequence[Watched], last: datetime, account: Account) -> list[Job]:
    """Compare expected fires with runs, once all have ended; returns their jobs."""
    jobs: list[Job] = []
    for one in watched:
        rest = rests[one.tenant]
        rest.call("PATCH", f"/exports/schedules/{one.id}", {"is_active": False})
        deadline = time.monotonic() + RUN_DEADLINE
        while _are_live(runs := _runs(rest, one)) and time.monotonic() < deadline:
            time.sleep(0.5)
        jobs += _compared(one, runs, last, account)
    return jobs


def _compared(one: Watched, runs: Sequence[Any], last: datetime, account: Account) -> list[Job]:
    fires = Counter(_fire(run) for run in runs)
    # With a primary whose clock is ahead, a run comes early.
    last = max(last, *fires) if fires else last
    expected = {one.first + number * MINUTE for number in range(int((last - one.first) / MINUTE) + 1)}
    account.count("fires expected", len(expected))
    account.count("fires made", sum(fires.values()))
    for fire in sorted(expected - set(fires)):
        account.found(LOST, f"schedule {one.id} has no run for {fire:%H:%M}")
    for fire, number in fires.items():
        if number > 1 or fire not in expected:
            account.found(DUPLICATED, f"schedule {one.id} has {number} runs for {fire:%H:%M:%S}")
    for run in runs:
        _judge(one, run, account)
    order = Order(one.tenant, "json", PRICES)
    return [
        Job(run["job_id"], one.tenant, order, (one.platform.id,), one.id, is_ambiguous=True)
        for run in runs
        if run["status"] == "completed"
    ]


def _judge(one: Watched, run: Any, account: Account) -> None:
    if run["status"] in LIVE:
        account.found(STUCK, f"run {run['id']} of schedule {one.id} is {run['status']}")
    elif run["status"] == "skipped" and run["reason"] in ("overlap", "queue_full"):
        account.count("fires skipped because the run before had not ended")
    elif run["status"] != "completed":
        account.found(WRONG, f"run {run['id']} of schedule {one.id} is {run['status']}: {run.get('reason')}")


def _are_live(runs: Sequence[Any]) -> bool:
    return any(run["status"] in LIVE for run in runs)


def _runs(rest: Rest, one: Watched) -> list[Any]:
    return rest.items(f"/exports/schedules/{one.id}/runs")


def _fire(run: Any) -> datetime:
    return datetime.fromisoformat(run["fire_at"])
