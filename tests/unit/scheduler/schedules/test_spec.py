"""What a schedule exports: a profile, or a format with options; and how a repeated request is recognized."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.chassis.faults import Violation
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.schedule import Overlap, Schedule
from services.scheduler.schedules.spec import ScheduleSpec, changes, request_hash

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)
PROFILE = "5d1f8f0e-44a1-4c55-9a5e-8f2a6a0c7b1d"
PLAIN = Schedule(
    id="s", tenant="acme", platform_id="p", name="Nightly", cron_expression="@daily", timezone="UTC", is_active=True,
    format="csv", options_json="{}", misfire=Policy.LATEST, overlap=Overlap.SKIP, jitter_seconds=0, created_at=AT,
    updated_at=AT, planned_until=AT, next_fire_at=None, rules="",
)  # fmt: skip
SAVED = replace(PLAIN, format="", options_json="", profile_id=PROFILE)


@pytest.mark.parametrize(
    ("old", "spec", "expected"),
    [
        (PLAIN, ScheduleSpec(), PLAIN),
        (PLAIN, ScheduleSpec(format="json"), replace(PLAIN, format="json")),
        (PLAIN, ScheduleSpec(options_json='{"a": 1}'), replace(PLAIN, options_json='{"a": 1}')),
        (PLAIN, ScheduleSpec(profile_id=PROFILE.upper()), SAVED),
        (SAVED, ScheduleSpec(), SAVED),
        (SAVED, ScheduleSpec(is_active=False), replace(SAVED, is_active=False)),
        (SAVED, ScheduleSpec(format="json"), replace(PLAIN, format="json")),
        (SAVED, ScheduleSpec(format="csv", options_json='{"a": 1}'), replace(PLAIN, options_json='{"a": 1}')),
    ],
)
def test_a_profile_and_a_format_replace_each_other(old: Schedule, spec: ScheduleSpec, expected: Schedule) -> None:
    problems: list[Violation] = []
    assert replace(old, **changes(spec, old, problems)) == expected
    assert problems == []


@pytest.mark.parametrize(
    ("old", "spec", "field"),
    [
        (PLAIN, ScheduleSpec(profile_id=PROFILE, format="csv"), "profile_id"),
        (PLAIN, ScheduleSpec(profile_id=PROFILE, options_json="{}"), "profile_id"),
        (PLAIN, ScheduleSpec(profile_id="first"), "profile_id"),
        (SAVED, ScheduleSpec(profile_id=""), "profile_id"),
        (SAVED, ScheduleSpec(options_json="{}"), "format"),
    ],
)
def test_both_at_once_and_half_of_one_are_refused(old: Schedule, spec: ScheduleSpec, field: str) -> None:
    problems: list[Violation] = []
    changes(spec, old, problems)
    assert [one.field for one in problems] == [field]


def test_the_hash_of_a_request_without_a_profile_is_that_of_older_versions() -> None:
    spec = ScheduleSpec("p", "Nightly", "@daily", format="csv", options_json='{"delimiter": ";"}')
    # This very value: schedules that an older version has stored have it.
    assert request_hash(spec) == "a99e0cef2672992955f8583c98c8cd7787c2a37111a061e3153883fbaf0d976e"
    saved = ScheduleSpec("p", "Nightly", "@daily", profile_id=PROFILE)
    assert len({request_hash(one) for one in (spec, saved, replace(saved, profile_id=None))}) == 3
