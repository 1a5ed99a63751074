"""Wall times that a clock change skips or repeats, which zoneinfo cannot list.

Pure. A wall time is a naive datetime: what a clock on the wall shows. Only conversions from instants to wall times are
used. Conversions from a wall time and a `fold` can be wrong near the last change in a zone's file (America/Nuuk,
2023-10-28 23:00 to 24:00: zoneinfo of Python 3.11 repeats an hour that occurred once).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of a zone's offset: wall times in [`first`, `end`) do not exist (forward) or occur twice (back)."""

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
    """The clock change that skips or repeats `wall`; None for other times."""
    change = _change_near(wall.date(), zone)
    return change if change.first <= wall < change.end else None


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, of a wall time that no change skips or repeats."""
    change = _change_near(wall.date(), zone)
    return shown_at(wall, change.before if wall < change.first else change.after)


def shown_at(wall: datetime, ahead: timedelta) -> datetime:
    """The instant, in UTC, at which clocks `ahead` of UTC show `wall`."""
    return (wall - ahead).replace(tzinfo=UTC)


@lru_cache(maxsize=10_000)
def _change_near(day: date, zone: ZoneInfo) -> ClockChange:
    """The only change within a day of that date; one of zero width if there is none."""
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
    """How far the zone's clocks are ahead of UTC."""
    return at.astimezone(zone).replace(tzinfo=UTC) - at
