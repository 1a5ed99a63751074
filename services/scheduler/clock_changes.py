"""The wall times that a clock change takes away or brings twice, since zoneinfo knows them but has no way to list them.

Pure. A wall time is a naive datetime: what a clock on the wall shows. PEP 495 gives it two offsets by its `fold`; where
they differ, the time does not exist or comes twice, and they are the offsets before and after the change.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of a zone's offset: walls from `first` to before `end` do not exist (forward) or come twice (back)."""

    at: datetime
    """When it happens, in UTC."""
    first: datetime
    end: datetime
    before: timedelta
    """The offset until `at`."""
    after: timedelta

    @property
    def is_forward(self) -> bool:
        return self.after > self.before


def offset(wall: datetime, zone: ZoneInfo, *, fold: int = 0) -> timedelta:
    """What `wall` is ahead of UTC; at the time's second coming with fold=1."""
    ahead = wall.replace(tzinfo=zone, fold=fold).utcoffset()
    assert ahead is not None  # noqa: S101  # ZoneInfo knows one for every datetime
    return ahead


def instant(wall: datetime, ahead: timedelta) -> datetime:
    """The instant, in UTC, at which clocks that are so far ahead show `wall`."""
    return (wall - ahead).replace(tzinfo=UTC)


def change_around(wall: datetime, zone: ZoneInfo) -> ClockChange | None:
    """The clock change because of which `wall` does not exist or comes twice; None for an ordinary time."""
    before, after = offset(wall, zone), offset(wall, zone, fold=1)
    if before == after:
        return None
    earliest, latest = sorted((instant(wall, before), instant(wall, after)))
    at = _moment_of_change(earliest, latest, before, zone)
    edges = sorted((_wall(at, before), _wall(at, after)))
    return ClockChange(at=at, first=edges[0], end=edges[1], before=before, after=after)


def _moment_of_change(earliest: datetime, latest: datetime, before: timedelta, zone: ZoneInfo) -> datetime:
    """The first whole second after `earliest`, by `latest`, whose offset is not `before`."""
    while latest - earliest > _SECOND:
        middle = earliest + (latest - earliest) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == before:
            earliest = middle
        else:
            latest = middle
    return latest


def _wall(at: datetime, ahead: timedelta) -> datetime:
    return (at + ahead).replace(tzinfo=None)
