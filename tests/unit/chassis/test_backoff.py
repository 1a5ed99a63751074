"""Delays between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.backoff import delay


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(0, 1))
def test_delays_grow_up_to_a_limit_and_never_vanish(attempt: int, first: float, random: float) -> None:
    assert first / 2 <= delay(attempt, first=first, longest=300.0, random=random) <= 300.0
    now = delay(attempt, first=first, longest=300.0, random=1.0)
    assert now <= delay(attempt + 1, first=first, longest=300.0, random=1.0)


def test_the_first_delays_double() -> None:
    assert [delay(n, first=2.0, longest=60.0, random=1.0) for n in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]
