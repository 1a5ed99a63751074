"""When a schedule fires: cronsim yields the wall times of an expression, and our rules turn them into instants, so that
clock changes neither lose nor repeat a run.

Pure. An expression names wall times. A wall time that exists once is that instant. The rules for clock changes:

- Forward: some wall times do not exist. Fixed times (minute and hour are numbers, ranges or lists of them) fire at the
  end of the gap instead; several that fall on that instant fire once. If `*` is an item of minute or hour, only
  existing instants fire. With a step it is the same, but a date that would lose all its times fires once at the end of
  the gap.
- Back: some wall times occur twice. Fixed times fire at the first occurrence only, those with `*` or a step at both.

The notation decides: `/` is a step, also in `0-59/20`; `0-59` is fixed; `*` takes precedence over a step. A gap may be
a whole date (Apia, 2011-12-30), and a change may be half an hour (Lord Howe). If neither day of month nor day of week
begins with `*`, both fire. docs/schedules.md has examples.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.scheduler.cron import expression as expressions
from services.scheduler.cron import time_zones
from services.scheduler.cron.clock_changes import ClockChange, change_around, instant, shown_at
from services.scheduler.cron.expression import CronError, Expression, Times

HORIZON = timedelta(days=366 * 50)
"""How far ahead to search; the rarest fire, a 29 February on a given weekday, occurs within forty years."""

_SECOND = timedelta(seconds=1)
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Note(StrEnum):
    """What a clock change did to a fire."""

    MOVED = "moved"
    """Its wall time does not exist; it fires at the end of the gap."""
    MERGED = "merged"
    """It fires anyway, and also stands for moved ones at the same instant."""
    FIRST_OF_REPEATED = "first_of_repeated"
    """Its wall time occurs twice; this is the first occurrence."""
    REPEATED = "repeated"
    """Its wall time occurs twice; this is the second occurrence."""
    SKIPPED = "skipped"
    """No fire: these wall times do not exist and have no replacement."""


@dataclass(frozen=True, slots=True)
class Fire:
    """An instant (UTC) at which a schedule fires, or the clock change (SKIPPED) at which it does not."""

    at: datetime
    note: Note | None = None
    missing: tuple[datetime, ...] = ()
    """Wall times that do not exist: those this fire replaces or, if skipped, those that are lost."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression in a time zone."""

    expression: Expression
    timezone: str
    zone: ZoneInfo = field(compare=False, repr=False)

    def next_fire(self, after: datetime) -> datetime | None:
        """The first fire later than `after`, in UTC; None if there is none within fifty years."""
        return next((fire.at for fire in self.fires(after) if fire.note is not Note.SKIPPED), None)

    def fires_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The fires later than `after` and not later than `until`, strictly increasing, in UTC."""
        fires = itertools.takewhile(lambda fire: fire.at <= until, self.fires(after))
        return (fire.at for fire in fires if fire.note is not Note.SKIPPED)

    def fires(self, after: datetime) -> Iterator[Fire]:
        """Every fire later than `after`, strictly increasing, and between them what clock changes skip."""
        last = after
        for fire in self._candidates(after):
            if fire.at > last + HORIZON:
                return
            if fire.at <= last:
                continue
            yield fire
            if fire.note is not Note.SKIPPED:
                last = fire.at

    def _candidates(self, after: datetime) -> Iterator[Fire]:
        """Fires from shortly before `after` on, in order, some of them twice."""
        walls = self.expression.walls(self._start(after))
        while (wall := next(walls, None)) is not None:
            change = change_around(wall, self.zone)
            if change is None:
                yield Fire(instant(wall, self.zone))
                continue
            yield from self._gap(change) if change.is_forward else self._overlap(change)
            walls = self.expression.walls(change.end - _SECOND)

    def _start(self, after: datetime) -> datetime:
        """The wall time to start after; within an overlap its start, to which the second pass returns."""
        wall = after.astimezone(self.zone).replace(tzinfo=None)
        change = change_around(wall, self.zone)
        return change.first - _SECOND if change else wall

    def _gap(self, change: ClockChange) -> Iterator[Fire]:
        lost = list(self._walls(change.first, change.end))
        replaced = {day for day in {wall.date() for wall in lost} if self._is_replaced(day, change)}
        moved = tuple(wall for wall in lost if wall.date() in replaced)
        skipped = tuple(wall for wall in lost if wall.date() not in replaced)
        if skipped:
            yield Fire(change.at, Note.SKIPPED, skipped)
        if moved:
            fires_anyway = any(True for _ in self._walls(change.end, change.end + _SECOND))
            yield Fire(change.at, Note.MERGED if fires_anyway else Note.MOVED, moved)

    def _is_replaced(self, day: date, change: ClockChange) -> bool:
        """Whether the times that `day` loses in a gap fire at its end."""
        if self.expression.times is not Times.STEP:
            return self.expression.times is Times.FIXED
        midnight = datetime.combine(day, time())
        walls = self._walls(midnight, midnight + timedelta(days=1))
        return all(change.first <= wall < change.end for wall in walls)

    def _overlap(self, change: ClockChange) -> Iterator[Fire]:
        for wall in self._walls(change.first, change.end):
            yield Fire(shown_at(wall, change.before), Note.FIRST_OF_REPEATED)
        if self.expression.times is not Times.FIXED:
            for wall in self._walls(change.first, change.end):
                yield Fire(shown_at(wall, change.after), Note.REPEATED)

    def _walls(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """The expression's wall times from `first` to before `end`."""
        return itertools.takewhile(lambda wall: wall < end, self.expression.walls(first - _SECOND))


@lru_cache(maxsize=10_000)
def parse(expression: str, timezone: str) -> Cron:
    """Read a five-field expression (or an alias such as `@daily`) and an IANA time zone.

    Raises:
        CronError: one of them is invalid, or the expression never fires; says which, and why.
    """
    parsed = expressions.parse(expression)
    try:
        zone = time_zones.zone(timezone)
    except KeyError:
        near = time_zones.near(timezone)
        advice = f"did you mean {' or '.join(near)}?" if near else "use an IANA name such as Europe/Paris"
        raise CronError("timezone", f"{timezone[:60]!r} is not an IANA time zone; {advice}") from None
    cron = Cron(parsed, timezone, zone)
    if cron.next_fire(_SOME_DAY) is None:
        raise CronError(
            "cron_expression", f"its times never exist in {timezone}: clock changes skip them, so it would never run"
        )
    return cron
