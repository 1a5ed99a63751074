"""What a person should know about a finished file: fields nobody has, texts cut, filters that matched nothing. Pure."""

from collections.abc import Callable, Iterator, Sequence

from services.chassis.faults import ErrorInfo
from services.exporter.catalogue.columns import Selection, near_names
from services.exporter.formats.contract import Tally

MOST_UNKNOWN = 20
"""Warnings with near names; finding those takes its time, and nobody reads more."""


def warnings_of(
    tally: Tally, sheet: str, selection: Selection, *, filtered: bool, known: Callable[[], Sequence[str]]
) -> tuple[ErrorInfo, ...]:
    """The warnings on a job.

    Args:
        sheet: the one that fields and filters are about.
        known: names of fields that a person may have meant; asked for only when one is missing.
    """
    found = list(_unknown_fields(selection.missing(tally.seen.get(sheet, ())), known))
    if tally.texts_cut:
        text = f"Texts cut at 32,767 characters, the most a cell holds: {tally.texts_cut}."
        found.append(ErrorInfo("text_cut", text))
    if filtered and not tally.records.get(sheet, 0):
        found.append(ErrorInfo("no_match", "No product matched the filters."))
    return tuple(found)


def _unknown_fields(missing: Sequence[str], known: Callable[[], Sequence[str]]) -> Iterator[ErrorInfo]:
    names = known() if missing else ()
    for name in missing[:MOST_UNKNOWN]:
        near = near_names(name, names)
        hint = f"; near names: {', '.join(near)}" if near else ""
        yield ErrorInfo("unknown_field", f"No exported product has the field {name!r}{hint}.")
    if left := len(missing[MOST_UNKNOWN:]):
        yield ErrorInfo("unknown_field", f"No exported product has {left} more of the fields asked for.")
