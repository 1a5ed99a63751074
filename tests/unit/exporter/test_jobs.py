"""States, ids and delays of jobs."""

from hypothesis import given
from hypothesis import strategies as st

from services.exporter.jobs import ENDED, LIVE, RETRIABLE, JobState, id_for_key, retry_delay


def test_every_state_is_either_live_or_ended() -> None:
    assert frozenset(JobState) == LIVE | ENDED
    assert not LIVE & ENDED
    assert RETRIABLE <= ENDED


def test_a_key_stands_for_the_same_job_again_and_for_another_in_another_tenant() -> None:
    assert id_for_key("a", "k") == id_for_key("a", "k")
    assert id_for_key("a", "k") != id_for_key("b", "k")
    assert id_for_key("a", "k") != id_for_key("a", "l")


@given(st.integers(1, 1000), st.floats(0.01, 10), st.floats(0, 1))
def test_delays_grow_up_to_a_limit_and_never_vanish(attempt: int, first: float, random: float) -> None:
    delay = retry_delay(attempt, first, random)
    assert first / 2 <= delay <= 300
    assert retry_delay(attempt, first, 1.0) <= retry_delay(attempt + 1, first, 1.0)
