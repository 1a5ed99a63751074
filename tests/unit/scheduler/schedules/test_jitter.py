"""A schedule's delay is its own, and spreads the many."""

import subprocess
import sys
import uuid
from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.schedules.schedule import jitter

MINUTE = timedelta(minutes=1)


@given(st.text(), st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=1)))
def test_a_delay_is_at_least_zero_and_less_than_the_most(schedule_id: str, most: timedelta) -> None:
    assert timedelta(0) <= jitter(schedule_id, most) < most


def test_without_a_spread_there_is_no_delay() -> None:
    assert jitter(str(uuid.uuid4()), timedelta(0)) == timedelta(0)


def test_a_delay_is_the_same_in_every_process() -> None:
    program = "from datetime import timedelta; from services.scheduler.schedules.schedule import jitter;"
    program += " print(jitter('a', timedelta(1)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{jitter('a', timedelta(1))}\n".encode()}


def test_five_thousand_schedules_spread_evenly_over_a_minute() -> None:
    ids = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(5_000)]
    seconds = Counter(jitter(each, MINUTE) // timedelta(seconds=1) for each in ids)
    assert set(seconds) == set(range(60))
    assert max(seconds.values()) < 2 * 5_000 / 60
