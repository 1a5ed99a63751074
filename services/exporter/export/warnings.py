"""The warnings on a finished job: fields that no product has, texts that were cut, filters that matched nothing."""

from collections.abc import Iterator, Sequence
from itertools import islice

from services.chassis.faults import ErrorInfo
from services.exporter.catalogue.columns import near_names
from services.exporter.catalogue.snapshot import Snapshot
from services.exporter.export.plan import ALL_FIELDS, Plan
from services.exporter.requests.request import FILTERED_SHEET
from services.exporter.transcode import Tally, discover
from services.exporter.transcode.findings import Findings, Reason

SAMPLED_BATCHES = 10
"""About 10,000 products."""
MAX_QUICK_SORT = 10_000
"""Sorting this many products without an index takes no time that a client would notice."""
MAX_REPORTED_COLUMNS = 20
MAX_UNKNOWN_FIELDS = 20
"""Warnings with similar names: searching for those is slow, and a longer list helps no one."""


def warnings(plan: Plan, tally: Tally, view: Snapshot) -> tuple[ErrorInfo, ...]:
    """The warnings on a job, given what its attempt has written from a snapshot."""
    found: list[ErrorInfo] = []
    if FILTERED_SHEET in tally.records:
        missing = plan.options.selection.missing(tally.seen.get(FILTERED_SHEET, ()))
        if missing and not (plan.query and tally.records[FILTERED_SHEET] + tally.unchanged == 0):
            found += _unknown_fields(missing, _sampled_names(view))
    found += finding_warnings(tally.findings)
    if (
        plan.sort_of(FILTERED_SHEET)
        and tally.records.get(FILTERED_SHEET, 0) > MAX_QUICK_SORT
        and not view.has_order(FILTERED_SHEET, plan.query, plan.sort)
    ):
        text = "No index has the order of order_by, so MongoDB sorted the products first, which takes longer."
        found.append(ErrorInfo("sorted_without_index", text))
    if tally.texts_cut:
        text = f"Texts cut at 32,767 characters, the most a cell holds: {tally.texts_cut}."
        found.append(ErrorInfo("text_cut", text))
    empty = [sheet for sheet, count in tally.records.items() if count == 0 and sheet != FILTERED_SHEET]
    found += [ErrorInfo("empty_sheet", f"The sheet {sheet!r} has no rows: there are no {sheet}.") for sheet in empty]
    if plan.query and tally.records.get(FILTERED_SHEET) == 0 and not tally.unchanged:
        found.append(ErrorInfo("no_match", "No product matched the filters."))
    return tuple(found)


_FINDINGS: dict[Reason, tuple[str, str]] = {
    Reason.SKIPPED_ROW: ("rows_skipped", "Rows left out because they have no value for"),
    Reason.CUT_TEXT: ("text_shortened", "Texts cut at max_length in"),
    **{
        reason: ("refused_by_receiver", "Values that the receiver of the feed refuses in")
        for reason in Reason
        if reason not in (Reason.SKIPPED_ROW, Reason.CUT_TEXT)
    },
}


def finding_warnings(findings: Findings) -> Iterator[ErrorInfo]:
    """The warnings about rows that were skipped and texts that were cut."""
    for reason, (code, text) in _FINDINGS.items():
        columns = [(column, rows) for (column, why), rows in findings.counts.most_common() if why == reason]
        for column, rows in columns[:MAX_REPORTED_COLUMNS]:
            rule = findings.rules.get((column, reason))
            yield ErrorInfo(code, f"{text} {column!r}: {rows:,}{f' ({reason}: {rule})' if rule else ''}.")
        if left := sum(rows for _, rows in columns[MAX_REPORTED_COLUMNS:]):
            yield ErrorInfo(code, f"{text} other columns: {left:,}.")


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
