"""Ids that make a run one, what an export of a schedule asks for, and states that exclude each other."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.exporter_client import with_platform
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


@given(st.dictionaries(st.text().filter(lambda name: name != "platform_ids"), st.integers() | st.text(), max_size=4))
def test_an_export_asks_for_its_options_and_its_platform(options: dict[str, Any]) -> None:
    for indent in (None, 2):
        asked = json.loads(with_platform(json.dumps(options, indent=indent), PLATFORM))
        assert asked == {**options, "platform_ids": [PLATFORM]}


def test_numbers_keep_their_digits() -> None:
    text = ' {"filters": {"price": 1.00000000000000000001}}\n'
    assert with_platform(text, PLATFORM) == (
        f'{{"filters": {{"price": 1.00000000000000000001}}, "platform_ids": ["{PLATFORM}"]}}'
    )
    assert with_platform("{ }", PLATFORM) == f'{{"platform_ids": ["{PLATFORM}"]}}'
