"""The warnings on a finished job: fields that no product has, texts that were cut, filters that matched nothing."""

from collections.abc import Iterator, Sequence
from itertools import islice

from services.chassis.faults import ErrorInfo
from services.exporter.catalogue.columns import near_names
from services.exporter.catalogue.snapshot import Snapshot
from services.exporter.export.plan import ALL_FIELDS, Plan
from services.exporter.requests.request import FILTERED_SHEET
from services.exporter.transcode import Tally, discover

SAMPLED_BATCHES = 10
"""About 10,000 products."""
MAX_UNKNOWN_FIELDS = 20
"""Warnings with similar names: searching for those is slow, and nobody reads more."""


def warnings(plan: Plan, tally: Tally, view: Snapshot) -> tuple[ErrorInfo, ...]:
    """The warnings on a job, given what its attempt has written from a snapshot."""
    found: list[ErrorInfo] = []
    if FILTERED_SHEET in tally.records:
        missing = plan.options.selection.missing(tally.seen.get(FILTERED_SHEET, ()))
        if missing and not (plan.query and tally.records[FILTERED_SHEET] == 0):
            found += _unknown_fields(missing, _sampled_names(view))
    if tally.texts_cut:
        text = f"Texts cut at 32,767 characters, the most a cell holds: {tally.texts_cut}."
        found.append(ErrorInfo("text_cut", text))
    if plan.query and tally.records.get(FILTERED_SHEET) == 0:
        found.append(ErrorInfo("no_match", "No product matched the filters."))
    return tuple(found)


def _unknown_fields(missing: Sequence[str], known: Sequence[str]) -> Iterator[ErrorInfo]:
    for name in missing[:MAX_UNKNOWN_FIELDS]:
        near = near_names(name, known)
        hint = f"; similar names: {', '.join(near)}" if near else ""
        yield ErrorInfo("unknown_field", f"No exported product has the field {name!r}{hint}.")
    if left := len(missing[MAX_UNKNOWN_FIELDS:]):
        yield ErrorInfo("unknown_field", f"{left} more of the requested fields exist in no exported product.")


def _sampled_names(view: Snapshot) -> tuple[str, ...]:
    """The names in the first products. Columns of earlier exports are not used: they may no longer exist."""
    seen: dict[str, bool] = {}
    for batch in islice(view.batches(FILTERED_SHEET, {}, None), SAMPLED_BATCHES):
        discover(batch, ALL_FIELDS, seen)
    return tuple(seen)
