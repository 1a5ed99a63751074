"""Values that are used again for a few seconds."""

from collections.abc import Iterator

import pytest

from services.chassis import recent
from services.chassis.recent import Recent


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(recent, "time", made)
    yield made


def test_a_value_is_there_until_its_time_is_over_or_it_is_dropped(clock: Clock) -> None:
    values = Recent[int](5.0)
    values.put("a", 1)
    values.put("b", 2)
    clock.now += 4.9
    assert (values.get("a"), values.get("b"), values.get("c")) == (1, 2, None)
    values.drop("b")
    values.drop("c")
    assert values.get("b") is None
    clock.now += 0.1
    assert values.get("a") is None


def test_the_oldest_values_make_room_for_others(clock: Clock) -> None:
    values = Recent[int](5.0, max_entries=2)
    for key in "abc":
        values.put(key, 1)
    values.put("b", 2)
    values.put("d", 1)
    assert {key: values.get(key) for key in "abcd"} == {"a": None, "b": 2, "c": None, "d": 1}
