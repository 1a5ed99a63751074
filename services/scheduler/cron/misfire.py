"""Which fire times run when several are due, so that an outage neither causes a flood of runs nor loses them all.

Pure. Fire times keep their original time however late they run. The newest due time is late, and runs under every
policy, until the grace period ends. Older due times are missed, and so is the newest one after the grace period. Of the
missed ones `all` runs the newest hundred, and `skip` runs none. `latest` runs the newest due time, however late it is:
one run after an outage of any length. Times that do not run are returned as skipped, to be recorded. Nothing at or
before the last planned time is ever returned, so that a clock set back, or new time-zone rules, never repeat a run.
"""

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.scheduler.cron.cron import Cron

GRACE = timedelta(hours=1)
MAX_RUNS = 100
SLICE = 1_000
"""Due times per plan: limits planning to 10 ms after a long outage, for a schedule that fires every minute."""


class Policy(StrEnum):
    """What happens to missed fire times."""

    LATEST = "latest"
    SKIP = "skip"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Plan:
    """Fire times in UTC, each list strictly increasing."""

    run: tuple[datetime, ...]
    skipped: tuple[datetime, ...]
    next_fire: datetime | None
    """The first fire time after this plan; None if the schedule never fires again. It is already due if there was more
    than one slice: then plan again, with the newest time of this plan as `last`."""


def plan(cron: Cron, *, last: datetime, now: datetime, policy: Policy, grace: timedelta = GRACE) -> Plan:
    """What to do at `now`.

    Args:
        last: the last planned fire time (run or skipped), or the time at which the schedule was created, resumed or
            edited, if later, so that nothing before it is backfilled.
    """
    due = list(itertools.islice(cron.fires_between(last, now), SLICE))
    if len(due) == SLICE:
        # Enough newer ones follow to fill all allowed runs, so the rest of the slice runs under no policy.
        return Plan(run=(), skipped=tuple(due[:-MAX_RUNS]), next_fire=due[-MAX_RUNS])
    runs = _how_many_run(due, now, policy, grace)
    split = len(due) - runs
    return Plan(run=tuple(due[split:]), skipped=tuple(due[:split]), next_fire=cron.next_fire(max(last, now)))


def _how_many_run(due: list[datetime], now: datetime, policy: Policy, grace: timedelta) -> int:
    """How many of the due times run, counted from the newest."""
    if not due:
        return 0
    if policy is Policy.ALL:
        return min(len(due), MAX_RUNS)
    return 1 if policy is Policy.LATEST or now - due[-1] < grace else 0
