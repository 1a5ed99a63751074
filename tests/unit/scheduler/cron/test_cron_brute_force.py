"""Fire times equal those of a walk over every minute: around all clock changes of ten years in twenty zones.

`CRON_BRUTE_FORCE=20 pytest tests/unit/scheduler/cron/test_cron_brute_force.py` walks the ten years whole, with 20 new
expressions in each zone.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scheduler.cron import time_zones
from services.scheduler.cron.cron import parse
from services.scheduler.cron.expression import CronError
from tests.unit.scheduler.cron.minute_walk import DAY, MINUTE, Walk, days_of_change, fires, read, year

EXPRESSIONS = int(os.environ.get("CRON_BRUTE_FORCE", "0"))
"""Of the long run, in each zone; none when it is not asked for."""

DENSE = 150
"""Expressions of more times a day are compared over one of the ten years: a million fires say no more than these."""

# The first of ten years each, chosen for what the zone's clocks did in them.
ZONES = {
    "UTC": 2022,  # nothing
    "Europe/Paris": 2022,
    "Europe/Dublin": 2022,  # winter time is the exception
    "Europe/Moscow": 2008,  # summer time for good, then winter time for good
    "America/New_York": 2022,
    "America/St_Johns": 2006,  # at a minute past midnight
    "America/Sao_Paulo": 2010,  # at midnight, back into the day before
    "America/Santiago": 2022,
    "America/Caracas": 2007,  # half an hour back, and forward again
    "America/Nuuk": 2018,  # an hour before midnight
    "America/Scoresbysund": 2019,  # from midnight to the hour before it
    "Atlantic/Azores": 2022,
    "Africa/Casablanca": 2012,  # four times a year, for Ramadan
    "Asia/Gaza": 2010,
    "Asia/Pyongyang": 2012,  # half an hour
    "Asia/Beirut": 2022,
    "Australia/Lord_Howe": 2022,  # half an hour
    "Pacific/Apia": 2006,  # without 2011-12-30
    "Pacific/Chatham": 2022,  # at 02:45 and 03:45
    "Antarctica/Troll": 2022,  # two hours
    "Antarctica/Casey": 2010,  # three hours
}

LIKE_OTHERS = {"Europe/Dublin", "America/New_York", "America/Santiago", "Asia/Beirut", "Asia/Gaza", "Pacific/Chatham"}
FULL = pytest.mark.full
"""Left to the long tests: other zones have clock changes of the same kind."""

# One for each rule, near the hours at which clocks change.
RULES = [
    "30 2 * * *",
    "0 0,2,3 * * *",
    "45-50 0-3,23 * * *",
    "20 * * * *",
    "*/20 2 * * *",
    "5/25 */3 * * *",
    "*/10 0 * * *",
]


def _either(*texts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(*(st.just(text) if isinstance(text, str) else text for text in texts))


def _spans(values: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.tuples(values, values).map(lambda pair: f"{min(pair)}-{max(pair)}")


def _lists(values: st.SearchStrategy[int], low: int, high: int) -> st.SearchStrategy[str]:
    numbers = values.map(str)
    steps = st.integers(1, high - low).map(str)
    item = _either(
        "*",
        numbers,
        numbers,
        _spans(values),
        st.builds("{}/{}".format, _either("*", numbers, _spans(values).filter(_is_wide)), steps),
    )
    return st.lists(item, min_size=1, max_size=3).map(",".join)


def _is_wide(span: str) -> bool:
    low, _, high = span.partition("-")
    return low != high


_minutes = _lists(st.sampled_from(range(60)), 0, 59)
# Most changes happen between ten at night and four in the morning.
_hours = _lists(st.sampled_from([*range(24), *[22, 23, 0, 1, 2, 3] * 4]), 0, 23)
_days = _either(*["*"] * 8, "L", "LW", "15,L", _lists(st.integers(1, 31), 1, 31))
_months = _either(*["*"] * 8, "JAN-JUN", "MAR,SEP-DEC", _lists(st.integers(1, 12), 1, 12))
_weekdays = _either(*["*"] * 8, "SUN", "SAT,SUN", "0L", "SUNL,MON#2", "5#3", _lists(st.integers(0, 7), 0, 7))
expressions = st.builds("{} {} {} {} {}".format, _minutes, _hours, _days, _months, _weekdays)


def _changes() -> Iterator[tuple[str, datetime]]:
    for name, first in ZONES.items():
        for day in days_of_change(time_zones.zone(name), year(first), year(first + 10)):
            yield name, day


CHANGES = list(_changes())


@lru_cache(maxsize=40)
def _walk(name: str, start: datetime, end: datetime) -> Walk:
    return Walk(time_zones.zone(name), start, end)


def _assert_equal(expression: str, name: str, start: datetime, end: datetime, walk: Walk) -> None:
    """Both say the same between two instants; every local date of theirs lies whole within the walk."""
    expected = [at for at in fires(read(expression), walk) if start <= at < end]
    try:
        found = list(parse(expression, name).fires_between(start - MINUTE, end - MINUTE))
    except CronError as exc:
        assert "would never run" in exc.reason
        found = []
    assert found == expected, (expression, name)


@pytest.mark.full
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=FULL if name in LIKE_OTHERS else ()) for name in dict(CHANGES)]
)
def test_each_rule_equals_the_walk_at_every_change_of_ten_years(name: str) -> None:
    for zone, day in CHANGES:
        if zone == name:
            walk = _walk(name, day - 3 * DAY, day + 2 * DAY)
            for expression in RULES:
                _assert_equal(expression, name, day - DAY, day + DAY / 2, walk)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expressions, st.sampled_from(CHANGES))
def test_any_expression_equals_the_walk_around_a_change(expression: str, change: tuple[str, datetime]) -> None:
    name, day = change
    walk = _walk(name, day - 3 * DAY, day + 2 * DAY)
    _assert_equal(expression, name, day - DAY, day + DAY / 2, walk)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(expressions, st.sampled_from(sorted(ZONES)), st.integers(0, 10 * 365 - 20))
def test_any_expression_equals_the_walk_in_any_week(expression: str, name: str, day: int) -> None:
    start = year(ZONES[name]) + day * DAY
    walk = Walk(time_zones.zone(name), start - 2 * DAY, start + 9 * DAY)
    _assert_equal(expression, name, start, start + 7 * DAY, walk)


@pytest.mark.skipif(not EXPRESSIONS, reason="the long run, asked for with CRON_BRUTE_FORCE=<expressions>")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", ZONES)
def test_any_expression_equals_the_walk_over_ten_years(name: str) -> None:
    first = ZONES[name]
    walk = Walk(time_zones.zone(name), year(first) - 2 * DAY, year(first + 10) + 2 * DAY)

    @settings(max_examples=EXPRESSIONS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(expressions, st.integers(0, 9))
    def equals(expression: str, number: int) -> None:
        if len(read(expression).minutes) > DENSE:
            _assert_equal(expression, name, year(first + number), year(first + number + 1), walk)
        else:
            _assert_equal(expression, name, year(first), year(first + 10), walk)

    equals()
