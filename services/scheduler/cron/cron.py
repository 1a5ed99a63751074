"""When a schedule fires: cronsim finds the wall times of an expression, our rules turn them into instants, so that a
clock change neither loses a run nor doubles one.

Pure. The rule: an expression names wall times, and one that exists once is that instant. A clock that goes forward
leaves wall times out. A fixed one (minute and hour are numbers, ranges, lists of them) fires at the end of the gap
instead, and all that fall on that instant fire once. Where `*` is an item of minute or hour, only the instants that
exist fire. Where there is a step, the same, but a date that would lose every one of its times fires once at the end
of the gap. A clock that goes back brings wall times twice: a fixed one fires at its first coming only, with `*` or a
step both times. What is written decides: `/` is a step also in `0-59/20`, `0-59` is fixed, and `*` wins over a step. A
gap may be a whole date (Apia, 2011-12-30), a change half an hour (Lord Howe). Day of month and day of week, when
neither begins with `*`, fire on either. docs/schedules.md has the examples.
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
"""How far ahead a fire is looked for; the rarest, a 29 February on a given weekday, comes within forty years."""

_SECOND = timedelta(seconds=1)
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Note(StrEnum):
    """What a clock change did to a fire."""

    MOVED = "moved"
    """Its wall time does not exist; it fires at the end of the gap."""
    MERGED = "merged"
    """It fires anyway, and for moved ones at the same instant too."""
    FIRST_OF_REPEATED = "first_of_repeated"
    """Its wall time comes twice; this is the first."""
    REPEATED = "repeated"
    """Its wall time comes twice; this is the second."""
    SKIPPED = "skipped"
    """No fire: wall times that do not exist and are not made up for."""


@dataclass(frozen=True, slots=True)
class Fire:
    """An instant (UTC) at which a schedule fires, or the clock change (SKIPPED) at which it does not."""

    at: datetime
    note: Note | None = None
    missing: tuple[datetime, ...] = ()
    """Wall times that do not exist: those this one makes up for or, when skipped, those that are lost."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression in a time zone."""

    expression: Expression
    timezone: str
    zone: ZoneInfo = field(compare=False, repr=False)

    def next_fire(self, after: datetime) -> datetime | None:
        """The first fire later than `after`, in UTC; None when there is none for fifty years."""
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
        """Fires from a little before `after` on, in order, some of them twice."""
        walls = self.expression.walls(self._start(after))
        while (wall := next(walls, None)) is not None:
            change = change_around(wall, self.zone)
            if change is None:
                yield Fire(instant(wall, self.zone))
                continue
            yield from self._gap(change) if change.is_forward else self._overlap(change)
            walls = self.expression.walls(change.end - _SECOND)

    def _start(self, after: datetime) -> datetime:
        """The wall time to begin after; within an overlap its beginning, which the second pass goes back to."""
        wall = after.astimezone(self.zone).replace(tzinfo=None)
        change = change_around(wall, self.zone)
        return change.first - _SECOND if change else wall

    def _gap(self, change: ClockChange) -> Iterator[Fire]:
        lost = list(self._walls(change.first, change.end))
        made_up_for = {day for day in {wall.date() for wall in lost} if self._is_made_up_for(day, change)}
        moved = tuple(wall for wall in lost if wall.date() in made_up_for)
        skipped = tuple(wall for wall in lost if wall.date() not in made_up_for)
        if skipped:
            yield Fire(change.at, Note.SKIPPED, skipped)
        if moved:
            there_anyway = any(True for _ in self._walls(change.end, change.end + _SECOND))
            yield Fire(change.at, Note.MERGED if there_anyway else Note.MOVED, moved)

    def _is_made_up_for(self, day: date, change: ClockChange) -> bool:
        """Whether what `day` loses in a gap fires at its end."""
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
        CronError: which of the two is wrong, and why; also when it would never fire.
    """
    parsed = expressions.parse(expression)
    try:
        zone = time_zones.zone(timezone)
    except KeyError:
        near = time_zones.near(timezone)
        advice = f"did you mean {' or '.join(near)}?" if near else "use an IANA name such as Europe/Paris"
        raise CronError("timezone", f"{timezone[:60]!r} is no IANA time zone; {advice}") from None
    cron = Cron(parsed, timezone, zone)
    if cron.next_fire(_SOME_DAY) is None:
        raise CronError(
            "cron_expression", f"its times never exist in {timezone}: the clock skips them; it would never run"
        )
    return cron
