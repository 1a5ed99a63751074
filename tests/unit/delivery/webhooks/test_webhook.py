"""The pauses between attempts, and how Retry-After is read."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.delivery.webhooks.sender import seconds_to_wait
from services.delivery.webhooks.webhook import MAX_ATTEMPTS, MAX_RETRY_AFTER, RETRY_SECONDS, pause_after


def test_the_attempts_take_three_days_and_then_end() -> None:
    pauses = [pause_after(attempt, None, 0.0) for attempt in range(1, MAX_ATTEMPTS)]
    assert pauses == list(RETRY_SECONDS)
    assert 3 <= sum(RETRY_SECONDS) / 86_400 < 3.5
    assert pause_after(MAX_ATTEMPTS, None, 0.0) is None
    assert pause_after(1, None, 1.0) == pytest.approx(5.5)


@pytest.mark.parametrize(("asked", "pause"), [(1.0, 5.0), (100.0, 100.0), (10_000_000.0, MAX_RETRY_AFTER)])
def test_a_longer_retry_after_is_respected_up_to_a_day(asked: float, pause: float) -> None:
    assert pause_after(1, asked, 0.0) == pause


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120.0), ("0", 0.0), ("", None), ("soon", None), ("-1", None), ("9" * 30, None)],
)
def test_retry_after_is_read_as_a_number(text: str, seconds: float | None) -> None:
    assert seconds_to_wait(text) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < (seconds_to_wait(later) or 0) <= 90
    assert seconds_to_wait("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0
