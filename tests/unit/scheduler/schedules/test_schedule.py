"""Ids that make a run one, what an export of a schedule asks for, and states that exclude each other."""

import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from services.scheduler.schedules.schedule import ENDED, LIVE, RunState, manual_run_id, run_id

PLATFORM = "11111111-2222-4333-8444-555555555555"
FIRE_AT = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_the_id_of_a_run_is_fixed_by_schedule_and_instant() -> None:
    # This very value: replicas of two versions at once must agree.
    assert run_id("s", FIRE_AT) == "bddbf000-37be-5022-8772-26461fc78b10"
    assert run_id("s", FIRE_AT.astimezone(ZoneInfo("Europe/Paris"))) == run_id("s", FIRE_AT)
    others = {run_id("t", FIRE_AT), run_id("s", FIRE_AT.replace(minute=1)), manual_run_id("s", FIRE_AT.isoformat())}
    assert len(others | {run_id("s", FIRE_AT)}) == 4
    assert uuid.UUID(run_id("s", FIRE_AT)).version == 5


def test_a_state_is_live_or_ended() -> None:
    assert set(RunState) == LIVE | ENDED
    assert not LIVE & ENDED
