"""Rate limits, on a fake clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth import rate
from services.gateway.auth.rate import RateLimiter


def test_a_new_key_may_use_its_whole_limit_immediately_and_no_more() -> None:
    limiter = RateLimiter(5)
    allowances = [limiter.take("a", 0.0) for _ in range(6)]
    assert [a.allowed for a in allowances] == [True] * 5 + [False]
    assert [a.remaining for a in allowances] == [4, 3, 2, 1, 0, 0]
    assert allowances[-1].retry_after == 12
    assert allowances[-1].reset == 60


def test_a_call_is_allowed_after_retry_after_and_not_earlier() -> None:
    limiter = RateLimiter(5)
    for _ in range(5):
        limiter.take("a", 0.0)
    wait = limiter.take("a", 0.0).retry_after
    assert not limiter.take("a", wait - 0.1).allowed
    assert limiter.take("a", float(wait)).allowed


def test_a_rejected_call_costs_nothing() -> None:
    limiter = RateLimiter(1)
    limiter.take("a", 0.0)
    for second in range(1, 60):
        assert not limiter.take("a", float(second)).allowed
    assert limiter.take("a", 60.0).allowed


def test_one_key_does_not_use_the_limit_of_another() -> None:
    limiter = RateLimiter(1)
    assert limiter.take("a", 0.0).allowed
    assert limiter.take("b", 0.0).allowed


def test_after_a_minute_without_calls_the_limit_is_full_and_not_more() -> None:
    limiter = RateLimiter(3)
    for _ in range(3):
        limiter.take("a", 0.0)
    assert limiter.take("a", 3_600.0).remaining == 2


def test_only_the_most_recently_used_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MAX_BUCKETS", 2)
    limiter = RateLimiter(2)
    for key in ("a", "b", "a", "c"):
        limiter.take(key, 0.0)
    assert limiter.take("a", 0.0).allowed is False
    assert limiter.take("b", 0.0).remaining == 1


@given(st.integers(1, 100), st.lists(st.floats(0, 30), max_size=200))
def test_no_window_of_a_minute_ever_holds_more_than_twice_the_limit(limit: int, pauses: list[float]) -> None:
    limiter, now, allowed = RateLimiter(limit), 0.0, []
    for pause in pauses:
        now += pause
        answer = limiter.take("a", now)
        assert 0 <= answer.remaining < limit
        assert 0 < answer.reset <= 60
        assert (answer.retry_after == 0) is answer.allowed
        if answer.allowed:
            allowed.append(now)
    for start in allowed:
        assert sum(start <= at < start + 60 for at in allowed) <= 2 * limit
