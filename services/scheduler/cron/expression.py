"""Parses the five fields of a cron expression and rejects mistakes with the name of the field and a reason.

Pure. Items are numbers or names, ranges, steps and lists; `L` and `LW` for days of the month; `5L` and `5#2` for days
of the week. Names are converted to numbers for cronsim. Also rejected, though cronsim accepts them: steps that a person
would read differently (`*/90` minutes is not an hour and a half), and a step after `L`, which cronsim ignores. cronsim
only yields wall times: it gets no time zone, and so never applies its own rules for clock changes.
"""

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cronsim import CronSim, CronSimError

MAX_LENGTH = 256
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NUMBER = re.compile(r"[0-9]{1,4}")
# Any start works for checking that a date ever occurs: cronsim searches fifty years ahead, and the rarest date, a
# 29 February on a given day of the week, occurs at least every forty.
_SOME_DAY = datetime(2000, 1, 1)


class CronError(ValueError):
    """The expression or the time zone is invalid.

    Args:
        field: the invalid field of the request, `cron_expression` or `timezone`.
        reason: what is wrong, starting with the part of the expression (`minute: ...`).
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Times(StrEnum):
    """The notation of minute and hour, which decides what a clock change does."""

    WILDCARD = "wildcard"
    STEP = "step"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Part:
    """One of the five fields: its name, its values, and the names of some values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return 7 if self.names is _DAYS else self.high - self.low + 1

    def refuse(self, reason: str) -> CronError:
        return CronError("cron_expression", f"{self.name}: {reason}")


MINUTE, HOUR = Part("minute", 0, 59), Part("hour", 0, 23)
DAY, MONTH = Part("day-of-month", 1, 31), Part("month", 1, 12, _MONTHS)
WEEKDAY = Part("day-of-week", 0, 7, _DAYS)
PARTS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class Expression:
    """A valid expression: five fields in numbers, and the notation of its times."""

    plain: str
    times: Times

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The wall times (naive, whole minutes) later than `after`; ends when none occurs within fifty years."""
        return CronSim(self.plain, after)


def parse(text: str) -> Expression:
    """Parse five fields, or an alias such as `@daily`; case does not matter.

    Raises:
        CronError: says which field is invalid, and why.
    """
    fields = _fields(text)
    plain = [
        ",".join(_item(part, item) for item in field.split(",")) for part, field in zip(PARTS, fields, strict=True)
    ]
    expression = Expression(plain=" ".join(plain), times=_times(plain[0], plain[1]))
    if not _ever_comes(expression):
        date = f"{fields[2]} in month {fields[3]} (day-of-week {fields[4]})"
        raise DAY.refuse(f"{date} is not a date in any year, so it would never run")
    return expression


def _fields(text: str) -> list[str]:
    if len(text) > MAX_LENGTH:
        raise CronError("cron_expression", f"{len(text)} characters; at most {MAX_LENGTH} are allowed")
    fields = text.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        return _alias(fields[0]).split()
    if len(fields) != len(PARTS):
        wanted = " ".join(part.name for part in PARTS)
        extra = "; seconds and years are not supported" if len(fields) > len(PARTS) else ""
        raise CronError("cron_expression", f"{len(fields)} fields where five are needed: {wanted}{extra}")
    return [field.upper() for field in fields]


def _alias(text: str) -> str:
    try:
        return ALIASES[text.lower()]
    except KeyError:
        near = difflib.get_close_matches(text.lower(), ALIASES, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(ALIASES)}"
        raise CronError("cron_expression", f"{text} is unknown; {advice}") from None


def _item(part: Part, item: str) -> str:
    """One element of a list, in numbers."""
    base, slash, step = item.partition("/")
    if not base:
        raise part.refuse(
            f"{item!r} has no value before the slash" if slash else "a value is missing, or there is an extra comma"
        )
    special = _special(part, base)
    if special is not None:
        if slash:
            raise part.refuse(f"{item!r}: {base} cannot have a step")
        return special
    plain = base if base == "*" else _range(part, base)
    if not slash:
        return plain
    width = _step(part, step)
    # cronsim reads 5-5/10 as 5/10.
    low, dash, high = plain.partition("-")
    return low if dash and low == high else f"{plain}/{width}"


def _special(part: Part, base: str) -> str | None:
    """`L`, `LW`, `5L`, `5#2` in numbers; None for other elements."""
    if part is DAY and base in {"L", "LW"}:
        return base
    if part is WEEKDAY and "#" in base:
        day, _, nth = base.partition("#")
        if nth not in {"1", "2", "3", "4", "5"}:
            raise part.refuse(f"{base!r}: the number after # must be 1 to 5")
        return f"{_value(part, day)}#{nth}"
    if part is WEEKDAY and base == "L":
        raise part.refuse("L needs a day before it, as in 5L or FRIL for the month's last Friday")
    if part is WEEKDAY and base.endswith("L") and "-" not in base:
        return f"{_value(part, base[:-1])}L"
    return None


def _range(part: Part, base: str) -> str:
    start, dash, end = base.partition("-")
    low = _value(part, start)
    if not dash:
        return str(low)
    high = _value(part, end)
    if part is WEEKDAY and high == 0 < low:
        high = 7  # FRI-SUN: the week may end on Sunday too
    if high < low:
        raise part.refuse(
            f"the range {base} runs backwards; write {end}-{start}, or {start}-{part.high},{part.low}-{end}"
        )
    return f"{low}-{high}"


def _value(part: Part, text: str) -> int:
    if text in part.names:
        return part.names.index(text) + part.low
    if not text:
        raise part.refuse("a value is missing beside a dash, # or L")
    if not _NUMBER.fullmatch(text):
        raise part.refuse(_no_value(part, text))
    if not part.low <= int(text) <= part.high:
        raise part.refuse(f"{text} is not between {part.low} and {part.high}")
    return int(text)


def _no_value(part: Part, text: str) -> str:
    if text == "?":
        return "'?' is not supported; use * for any value"
    near = difflib.get_close_matches(text, part.names, n=1, cutoff=0.5)
    if near:
        return f"{text!r} is unknown; did you mean {near[0]}?"
    names = f" or {part.names[0]} to {part.names[-1]}" if part.names else ""
    return f"{text!r} is not a number from {part.low} to {part.high}{names}"


def _step(part: Part, step: str) -> int:
    if not _NUMBER.fullmatch(step):
        raise part.refuse(f"the step {step!r} is not a number")
    if not 1 <= int(step) <= part.size:
        raise part.refuse(f"a step of {int(step)} is not between 1 and {part.size}")
    return int(step)


def _times(minute: str, hour: str) -> Times:
    items = [*minute.split(","), *hour.split(",")]
    if "*" in items:
        return Times.WILDCARD
    return Times.STEP if any("/" in item for item in items) else Times.FIXED


def _ever_comes(expression: Expression) -> bool:
    try:
        return any(True for _ in itertools.islice(expression.walls(_SOME_DAY), 1))
    except CronSimError:  # raised for some of these; everything else was checked before
        return False
