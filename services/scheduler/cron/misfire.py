"""Which fire times run when some have come due unserved, so that a stop of the system neither floods nor forgets.

Pure. A fire time keeps its original time however late it runs. The newest one that is due is merely late while less
than the grace has passed, and runs under every policy. The others are missed, a newer one having come since, and so
is the newest itself after the grace. Of the missed, `all` runs each, at most a hundred, the newest of them; `skip`
runs none; `latest` runs the newest due time however late it is: one run after a stop of any length. What does
not run is returned as skipped, to be recorded. Nothing at or before the last planned time is ever returned, so that a
clock that was set back, or other rules of a time zone, never repeat a run.
"""

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.scheduler.cron.cron import Cron

GRACE = timedelta(hours=1)
MOST_RUNS = 100
SLICE = 1_000
"""How many due times one plan deals with: bounds its time (10 ms) after a long stop of a schedule of every minute."""


class Policy(StrEnum):
    """What becomes of missed fire times."""

    LATEST = "latest"
    SKIP = "skip"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Plan:
    """Fire times in UTC, each list strictly increasing."""

    run: tuple[datetime, ...]
    skipped: tuple[datetime, ...]
    next_fire: datetime | None
    """The first one this plan says nothing about. Due already when there was more than one slice: plan again, with the
    newest time of this plan as `last`. None when the schedule fires no more."""


def plan(cron: Cron, *, last: datetime, now: datetime, policy: Policy, grace: timedelta = GRACE) -> Plan:
    """What to do at `now`.

    Args:
        last: the last fire time that was planned (run or skipped), or when the schedule was made, resumed or edited, if
            that came later, so that nothing from before is made up for.
    """
    due = list(itertools.islice(cron.fires_between(last, now), SLICE))
    if len(due) == SLICE:
        # At least as many newer ones follow as may run: the rest of the slice runs under no policy.
        return Plan(run=(), skipped=tuple(due[:-MOST_RUNS]), next_fire=due[-MOST_RUNS])
    runs = _how_many_run(due, now, policy, grace)
    split = len(due) - runs
    return Plan(run=tuple(due[split:]), skipped=tuple(due[:split]), next_fire=cron.next_fire(max(last, now)))


def _how_many_run(due: list[datetime], now: datetime, policy: Policy, grace: timedelta) -> int:
    """It is always the newest that run."""
    if not due:
        return 0
    if policy is Policy.ALL:
        return min(len(due), MOST_RUNS)
    return 1 if policy is Policy.LATEST or now - due[-1] < grace else 0
