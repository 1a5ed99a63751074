"""The next fires of a cron, with a sentence about what a clock change does to them.

Pure. Skipped times have no instant of their own; the next fire mentions them.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.scheduler.cron.cron import HORIZON, Cron, Fire, Note
from services.scheduler.cron.expression import Times

_LISTED = 3


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A future fire."""

    at: datetime
    """In UTC."""
    local: datetime
    """The same instant with the zone's offset."""
    note: Note | None
    """What a clock change does to this fire; SKIPPED if it only skipped times before this one."""
    words: str
    """The note as a sentence for people; empty without one."""


def upcoming(cron: Cron, after: datetime, count: int) -> Iterator[Upcoming]:
    """The first `count` fires later than `after`; fewer if no more occur within the fifty years after it."""
    skipped: tuple[datetime, ...] = ()
    # The horizon of `fires` is fifty years per fire: a hundred fires of a rare expression would be thousands of years.
    fires = itertools.takewhile(lambda fire: fire.at <= after + HORIZON, cron.fires(after))
    while count > 0 and (fire := next(fires, None)) is not None:
        if fire.note is Note.SKIPPED:
            skipped += fire.missing
            continue
        yield _upcoming(cron, fire, skipped)
        skipped = ()
        count -= 1


def _upcoming(cron: Cron, fire: Fire, skipped: tuple[datetime, ...]) -> Upcoming:
    local = fire.at.astimezone(cron.zone)
    sentences = [_words(cron, fire, local), f"Skipped before it: {_missing(skipped)}." if skipped else ""]
    note = fire.note or (Note.SKIPPED if skipped else None)
    return Upcoming(fire.at, local, note, " ".join(filter(None, sentences)))


def _words(cron: Cron, fire: Fire, local: datetime) -> str:
    match fire.note:
        case Note.MOVED:
            return f"Moved to the end of the gap: {_missing(fire.missing)}."
        case Note.MERGED:
            return f"Runs once, also for times that the clock skips: {_missing(fire.missing)}."
        case Note.FIRST_OF_REPEATED:
            only = " and the only one that runs" if cron.expression.times is Times.FIXED else ""
            return f"{local:%H:%M} occurs twice on {local:%Y-%m-%d}; this is the first time{only}."
        case Note.REPEATED:
            return f"{local:%H:%M} occurs twice on {local:%Y-%m-%d}; this is the second time."
        case _:
            return ""


def _missing(walls: tuple[datetime, ...]) -> str:
    listed = ", ".join(f"{wall:%Y-%m-%d %H:%M}" for wall in walls[:_LISTED])
    more = f" and {len(walls) - _LISTED} more" if len(walls) > _LISTED else ""
    return f"{listed}{more} {'do' if len(walls) > 1 else 'does'} not exist"
