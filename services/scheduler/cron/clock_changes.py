"""The wall times that a clock change takes away or brings twice, since zoneinfo has no way to list them.

Pure. A wall time is a naive datetime: what a clock on the wall shows. A zone is only asked what its clocks show at an
instant. Its answers for a wall time and a `fold` are not used: near the last change that a zone's file lists they can
be wrong (America/Nuuk, 2023-10-28 23:00 to 24:00, where zoneinfo of Python 3.11 sees an hour twice that came once).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of a zone's offset: walls from `first` to before `end` do not exist (forward) or come twice (back)."""

    at: datetime
    """When it happens, in UTC."""
    before: timedelta
    """The offset until `at`."""
    after: timedelta

    @property
    def is_forward(self) -> bool:
        return self.after > self.before

    @property
    def first(self) -> datetime:
        return (self.at + min(self.before, self.after)).replace(tzinfo=None)

    @property
    def end(self) -> datetime:
        return (self.at + max(self.before, self.after)).replace(tzinfo=None)


def change_around(wall: datetime, zone: ZoneInfo) -> ClockChange | None:
    """The clock change because of which `wall` does not exist or comes twice; None for an ordinary time."""
    change = _change_near(wall.date(), zone)
    return change if change.first <= wall < change.end else None


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, of a wall time that no change is around."""
    change = _change_near(wall.date(), zone)
    return shown_at(wall, change.before if wall < change.first else change.after)


def shown_at(wall: datetime, ahead: timedelta) -> datetime:
    """The instant, in UTC, at which clocks that are so far ahead of UTC show `wall`."""
    return (wall - ahead).replace(tzinfo=UTC)


@lru_cache(maxsize=10_000)
def _change_near(day: date, zone: ZoneInfo) -> ClockChange:
    """The only change within a day of that date; one of no width when clocks go on as they were."""
    earliest = datetime.combine(day, time(), UTC) - _DAY
    latest = earliest + 3 * _DAY
    before, after = _offset(earliest, zone), _offset(latest, zone)
    while before != after and latest - earliest > _SECOND:
        middle = earliest + (latest - earliest) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == before:
            earliest = middle
        else:
            latest = middle
    return ClockChange(latest, before, after)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    """What the zone's clocks are ahead of UTC."""
    return at.astimezone(zone).replace(tzinfo=UTC) - at
