"""Runs the examples of docs/schedules.md against the scheduler's own code."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from services.scheduler.cron.cron import parse

PAGE = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text(encoding="utf-8")
CLOCK_HEADER = re.compile(r"\| expression \| on (\S+) in (\S+) \| rule \|")
ROW = re.compile(r"\| `([^`]+)` \| ([^|]+) \|")


def _examples(header: re.Pattern[str]) -> list[tuple[str, ...]]:
    """For each row below a matching header: the header's groups, the expression and the expected times."""
    found: list[tuple[str, ...]] = []
    groups: tuple[str, ...] | None = None
    for line in PAGE.splitlines():
        if match := header.match(line):
            groups = match.groups()
        elif not line.startswith("|"):
            groups = None
        elif groups is not None and (row := ROW.match(line)):
            found.append((*groups, row[1], row[2]))
    return found


def _fires(expression: str, timezone: str, first: date, days: int) -> list[datetime]:
    """The fire times whose local date is in the `days` days from `first` on."""
    cron = parse(expression, timezone)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    between = cron.fires_between(midnight - timedelta(days=1), midnight + timedelta(days=days + 1))
    local = (at.astimezone(cron.zone) for at in between)
    return [at for at in local if first <= at.date() < first + timedelta(days=days)]


@pytest.mark.parametrize(("day", "timezone", "expression", "expected"), _examples(CLOCK_HEADER))
def test_an_example_of_a_clock_change_is_true(day: str, timezone: str, expression: str, expected: str) -> None:
    found = [at.isoformat(timespec="minutes")[11:] for at in _fires(expression, timezone, date.fromisoformat(day), 1)]
    listed = [] if expected == "none" else expected.split(", ")
    if listed[-1:] == ["…"]:
        assert found[: len(listed) - 1] == listed[:-1]
        assert len(found) > len(listed) - 1
    else:
        assert found == listed


@pytest.mark.parametrize(("expression", "expected"), _examples(re.compile(r"\| expression \| in March 2026 \| why \|")))
def test_an_example_of_days_is_true(expression: str, expected: str) -> None:
    assert ", ".join(str(at.day) for at in _fires(expression, "UTC", date(2026, 3, 1), 31)) == expected


def test_the_page_has_examples_of_both_kinds() -> None:
    assert len(_examples(CLOCK_HEADER)) >= 20
    assert len(_examples(re.compile(r"\| expression \| in March"))) >= 6
