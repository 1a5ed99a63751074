"""The rules of docs/schedules.md once more, by walking every minute: slow, and so plain that they are seen to be right.

Independent of cronsim and of services.scheduler's rules. A zone is only ever asked what its clocks show at an instant;
gaps and overlaps are what the walk meets.
"""

import calendar
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@dataclass
class Stretch:
    """Minutes in a row that a clock showed in a row, all of one date."""

    at: datetime
    minute: int
    """Of the day, of the first."""
    length: int = 1


@dataclass
class Walk:
    """What a zone's clocks show at every minute from one instant to before another."""

    zone: ZoneInfo
    start: datetime
    end: datetime
    stretches: dict[date, list[Stretch]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        at = self.start
        while at < self.end:
            shown = at.astimezone(self.zone)
            minute = shown.hour * 60 + shown.minute
            of_date = self.stretches[shown.date()]
            if (
                of_date
                and of_date[-1].minute + of_date[-1].length == minute
                and of_date[-1].at + of_date[-1].length * MINUTE == at
            ):
                of_date[-1].length += 1
            else:
                of_date.append(Stretch(at, minute))
            at += MINUTE

    def dates(self) -> Iterator[date]:
        """Every date of the calendar, also one that the clocks never showed."""
        day = min(self.stretches)
        while day <= max(self.stretches):
            yield day
            day += DAY

    def shown(self, day: date, minutes: set[int]) -> Iterator[tuple[datetime, int]]:
        """Each instant at which clocks showed that date and one of the minutes of the day, and which one."""
        for stretch in self.stretches.get(day, []):
            for minute in sorted(minutes):
                if 0 <= minute - stretch.minute < stretch.length:
                    yield stretch.at + (minute - stretch.minute) * MINUTE, minute

    def first_beyond(self, day: date, minute: int) -> datetime | None:
        """The first instant at which clocks showed something later."""
        beyond = [
            stretch.at + max(0, minute + 1 - stretch.minute if shown == day else 0) * MINUTE
            for shown, stretches in self.stretches.items()
            for stretch in stretches
            if shown > day or (shown == day and stretch.minute + stretch.length > minute + 1)
        ]
        return min(beyond, default=None)


@dataclass
class Reading:
    """An expression as a person reads it."""

    minutes: set[int]
    """Of the day."""
    day: str
    months: set[int]
    weekday: str
    has_wildcard: bool
    has_step: bool

    def is_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        hits = [_is_day(self.day, day), _is_weekday(self.weekday, day)]
        return all(hits) if self.day.startswith("*") or self.weekday.startswith("*") else any(hits)


def read(expression: str) -> Reading:
    minute, hour, day, month, weekday = expression.split()
    items = f"{minute},{hour}".split(",")
    return Reading(
        minutes={60 * h + m for h in _values(hour, 0, 23) for m in _values(minute, 0, 59)},
        day=day,
        months=_values(month, 1, 12),
        weekday=weekday,
        has_wildcard="*" in items,
        has_step=any("/" in item for item in items),
    )


def fires(reading: Reading, walk: Walk) -> list[datetime]:
    """When it fires during the walk; right for the dates that lie in it whole."""
    found: set[datetime] = set()
    for day in filter(reading.is_on, walk.dates()):
        shown = list(walk.shown(day, reading.minutes))
        lost = reading.minutes - {minute for _, minute in shown}
        if reading.has_wildcard:
            found.update(at for at, _ in shown)
        elif reading.has_step:
            found.update(at for at, _ in shown)
            if not shown:
                found.update(_ends_of_gaps(walk, day, lost))
        else:
            first = {minute: at for at, minute in reversed(shown)}
            found.update(first.values())
            found.update(_ends_of_gaps(walk, day, lost))
    return sorted(found)


def _ends_of_gaps(walk: Walk, day: date, lost: set[int]) -> set[datetime]:
    return {at for minute in lost if (at := walk.first_beyond(day, minute)) is not None}


def _values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = ("*", "", "") if span == "*" else span.partition("-")
        start = low if first == "*" else _number(first)
        stop = _number(last) if dash else high if slash or first == "*" else start
        found.update(range(start, stop + 1, int(step or 1)))
    return found


def _number(text: str) -> int:
    if text in _MONTHS:
        return _MONTHS.index(text) + 1
    return _DAYS.index(text) if text in _DAYS else int(text)


def _is_day(text: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    last_working = max(d for d in range(1, last + 1) if date(day.year, day.month, d).weekday() < 5)
    special = {"L": last, "LW": last_working}
    return any(day.day in ({special[item]} if item in special else _values(item, 1, 31)) for item in text.split(","))


def _is_weekday(text: str, day: date) -> bool:
    return any(_is_weekday_item(item, day) for item in text.split(","))


def _is_weekday_item(item: str, day: date) -> bool:
    today = day.isoweekday() % 7
    if "#" in item:
        weekday, nth = item.split("#")
        return _number(weekday) % 7 == today and (day.day - 1) // 7 + 1 == int(nth)
    if item.endswith("L"):
        return _number(item[:-1]) % 7 == today and (day + 7 * DAY).month != day.month
    return today in {value % 7 for value in _values(item, 0, 7)}


def days_of_change(zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The UTC midnights before which, within a day, the zone's offset changed."""
    midnights = [start + number * DAY for number in range((end - start) // DAY)]
    offsets = [at.astimezone(zone).utcoffset() for at in midnights]
    return [at for at, before, now in zip(midnights[1:], offsets, offsets[1:], strict=False) if before != now]


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)
