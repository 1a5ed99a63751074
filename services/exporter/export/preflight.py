"""Tells, within about two seconds, what an export would make: with the checks, the reading and the format of an export.

Each part has a time limit in MongoDB. What cannot be found out within it is missing from the result.
"""

import asyncio
import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from services.chassis.faults import BadRequest, ErrorInfo, Fault, Kind, Violation
from services.chassis.mongo import Document
from services.exporter.catalogue import snapshot as catalogue
from services.exporter.catalogue.columns import with_columns
from services.exporter.catalogue.projection import projection
from services.exporter.errors import JobFault
from services.exporter.export.plan import Plan
from services.exporter.export.warnings import MAX_UNKNOWN_FIELDS, finding_warnings
from services.exporter.formats import csv
from services.exporter.formats.contract import Sheet, TooManyColumns
from services.exporter.jobs.job import Job
from services.exporter.jobs.queries import JobQueries
from services.exporter.requests.fields import FieldChecks
from services.exporter.requests.filters import to_query
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest
from services.exporter.transcode import BatchSlicer, MissingCell, Tally, discover, transcoders
from services.exporter.transcode.findings import Reason

SAMPLE_DOCUMENTS = 1_000
"""Whose columns are found."""
SHOWN_ROWS = 20
SAMPLE_MILLIS, COUNT_MILLIS, GUESS_MILLIS = 1_200, 700, 400
CHECK_SECONDS = 1.5
GUESSED_DOCUMENTS = 20_000
"""The first documents of a collection, of which those that match the filters are counted if all take too long."""
MAX_SHOWN = 64 * 1024
"""Characters of the shown rows."""
MAX_AT_ONCE = 2
"""Preflights of one tenant, in one process."""
_TEXT_TYPES = ("text/", "application/json", "application/x-ndjson", "application/xml")


@dataclass(frozen=True, slots=True)
class Preflight:
    """What an export would make.

    Args:
        problems: why it would be refused, or fail.
        columns: those of the first products; empty for formats without columns.
        rows: of products; None: not known.
        is_estimate: `rows` was not counted exactly.
        bytes: of the file, about.
        seconds: from start to end, about, if the tenant has made such a file before.
        shown: the first rows, as the file has them; of a packed or binary format as CSV.
    """

    problems: tuple[Violation, ...] = ()
    warnings: tuple[ErrorInfo, ...] = ()
    columns: tuple[str, ...] = ()
    rows: int | None = None
    is_estimate: bool = False
    bytes: int | None = None
    seconds: float | None = None
    shown: str = ""


class TooManyPreflights(Fault):
    """The tenant has as many of them as it may have at the same time."""

    kind = Kind.EXHAUSTED

    def __init__(self) -> None:
        text = f"{MAX_AT_ONCE} preflights of the tenant are running; wait until one of them has ended."
        super().__init__("too_many_preflights", text, retry_after=1.0)


class Preflights:
    """Makes preflights."""

    def __init__(
        self,
        client: MongoClient[Document],
        jobs: JobQueries,
        checks: FieldChecks,
        *,
        max_columns: int,
        escape_formulas: bool,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._checks = checks
        self._max_columns = max_columns
        self._escape_formulas = escape_formulas
        self._running: Counter[str] = Counter()

    async def run(self, tenant: str, request: CheckedRequest) -> Preflight:
        """The preflight of a valid request.

        Raises:
            TooManyPreflights: the tenant has too many at the same time.
            Unavailable: the catalogue does not answer.
        """
        if self._running[tenant] >= MAX_AT_ONCE:
            raise TooManyPreflights
        self._running[tenant] += 1
        try:
            return await self._run(tenant, request)
        finally:
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]

    async def _run(self, tenant: str, request: CheckedRequest) -> Preflight:
        options = request.options.with_default_escaping(self._escape_formulas)
        if "compression" in type(options).model_fields:  # the rows are shown
            options = options.model_copy(update={"compression": None})
        plan = Plan(tenant, request.format, options, to_query(request.filter), {}, self._max_columns, request.sort)
        try:
            await self._checks.check(tenant, request, seconds=CHECK_SECONDS)
        except BadRequest as exc:
            return Preflight(problems=exc.violations)
        sample, counted, earlier = await asyncio.gather(
            asyncio.to_thread(self._sample, plan),
            asyncio.to_thread(self._rows, plan),
            self._jobs.last_completed(tenant, request.format.name),
        )
        return _estimated(plan, sample, counted, earlier)

    def _sample(self, plan: Plan) -> "Sample":
        """The first rows of the file, and its columns as far as the first products show them."""
        try:
            with catalogue.snapshot(self._client, plan.tenant) as view:
                batches = self._first(view, plan)
        except (JobFault, catalogue.SnapshotLost):
            text = (
                f"The first products were not found within {SAMPLE_MILLIS / 1_000} s; the export itself has more time."
            )
            return Sample(warnings=(ErrorInfo("not_checked", text),))
        return shown_sample(plan, batches)

    def _first(self, view: catalogue.Snapshot, plan: Plan) -> Sequence[bytes]:
        reductions = plan.reductions_of(FILTERED_SHEET)
        limit = min(plan.limit_of(FILTERED_SHEET) or SAMPLE_DOCUMENTS, SAMPLE_DOCUMENTS)
        found = view.batches(
            FILTERED_SHEET,
            plan.query_of(FILTERED_SHEET),
            projection(plan.selection(FILTERED_SHEET), is_reduced=bool(reductions)),
            plan.sort_of(FILTERED_SHEET),
            limit=limit,
            explode=plan.explode_of(FILTERED_SHEET),
            max_millis=SAMPLE_MILLIS,
        )
        reducer = transcoders().reducer(reductions)
        return [reducer.reduce(batch) for batch in found]

    def _rows(self, plan: Plan) -> tuple[int | None, bool]:
        """How many products the export reads, and whether that is an estimate."""
        products = self._client[catalogue.database_name(plan.tenant)][FILTERED_SHEET]
        try:
            total = products.estimated_document_count()
            if not plan.query:
                return total, True
            try:
                return products.count_documents(plan.query, maxTimeMS=COUNT_MILLIS), False
            except PyMongoError:
                stages: list[Document] = [{"$limit": GUESSED_DOCUMENTS}, {"$match": plan.query}, {"$count": "found"}]
                [*first] = products.aggregate(stages, maxTimeMS=GUESS_MILLIS)
                share = (first[0]["found"] if first else 0) / max(1, min(GUESSED_DOCUMENTS, total))
                return round(share * total), True
        except PyMongoError:
            return None, True


@dataclass(frozen=True, slots=True)
class Sample:
    """What the first products tell."""

    problems: tuple[Violation, ...] = ()
    warnings: tuple[ErrorInfo, ...] = ()
    columns: tuple[str, ...] = ()
    documents: int = 0
    rows: int = 0
    bytes: int | None = None
    """Of the rows, if the file holds them as they are."""
    shown: str = ""


def shown_sample(plan: Plan, batches: Sequence[bytes]) -> Sample:
    """Write the batches as the file would have them, without storing anything."""
    selection = plan.selection(FILTERED_SHEET)
    seen: dict[str, bool] = {}
    for batch in batches:
        discover(batch, selection, seen)
    columns = selection.header(with_columns(seen)) or ("id",)
    if len(columns) > plan.max_columns:
        text = f"the file would have at least {len(columns)} columns, at most {plan.max_columns} are allowed"
        return Sample(problems=(Violation("columns", text),))
    is_text = plan.format.media_type(plan.options).startswith(_TEXT_TYPES)
    slicer = BatchSlicer(iter(batches))
    first = [slicer.take(SHOWN_ROWS)] if slicer.more() else []
    try:
        whole, tally = _encoded(plan, columns, batches, is_text=is_text)
        shown, _ = _encoded(plan, columns, first, is_text=is_text)
    except MissingCell as exc:
        at = next(number for number, one in enumerate(plan.options.columns or ()) if one.header == exc.column)
        message = f"the product {exc.row[:200]!r} has no value for {exc.column[:200]!r}, so the export would fail"
        return Sample(problems=(Violation(f"columns[{at}].if_missing", message),))
    except TooManyColumns as exc:
        message = f"the format holds at most {exc.limit} columns, and there are {exc.columns}; select fewer"
        return Sample(problems=(Violation("columns", message),))
    unknown = [
        ErrorInfo("unknown_field", f"No product of the sample has the field {name!r}.")
        for name in selection.missing(seen)[:MAX_UNKNOWN_FIELDS]
    ]
    rows, skipped = tally.records[FILTERED_SHEET], tally.findings.total(Reason.SKIPPED_ROW)
    return Sample(
        warnings=(*finding_warnings(tally.findings), *unknown),
        columns=columns if plan.format.flat or selection.output is not None else (),
        documents=rows + skipped,
        rows=rows,
        bytes=len(whole) if is_text else None,
        shown=shown.removeprefix(codecs.BOM_UTF8).decode(errors="replace")[:MAX_SHOWN],
    )


def _encoded(plan: Plan, columns: Sequence[str], batches: Sequence[bytes], *, is_text: bool) -> tuple[bytes, Tally]:
    """The batches in the format of the file, or as CSV if that is no text."""
    tally = Tally()
    sheet = Sheet(FILTERED_SHEET, columns, plan.selection(FILTERED_SHEET), iter(batches))
    if is_text:
        return b"".join(plan.format.encode([sheet], plan.options, tally)), tally
    return b"".join(csv.FORMAT.encode([sheet], csv.CsvOptions(), tally)), tally


def _estimated(plan: Plan, sample: Sample, counted: tuple[int | None, bool], earlier: Job | None) -> Preflight:
    """The preflight, with what the sample and an earlier job tell about the whole file."""
    found = Preflight(sample.problems, sample.warnings, sample.columns, shown=sample.shown)
    products, is_estimate = counted
    if products is not None:
        products = min(products, plan.limit_of(FILTERED_SHEET) or products)
        read = min(products, SAMPLE_DOCUMENTS)
        is_whole = products <= SAMPLE_DOCUMENTS and sample.documents > 0
        rows = sample.rows if is_whole else round(products * sample.rows / max(1, read))
        changes = sample.rows != read
        found = replace(found, rows=rows, is_estimate=not is_whole and (is_estimate or changes))
        if sample.bytes is not None and sample.rows:
            found = replace(found, bytes=round(sample.bytes / sample.rows * rows))
    if found.rows and earlier is not None and earlier.artifact and earlier.started_at and earlier.finished_at:
        share = found.rows / max(1, sum(earlier.records.values()))
        seconds = (earlier.finished_at - earlier.started_at).total_seconds()
        size = found.bytes if found.bytes is not None else round(earlier.artifact.size * share)
        found = replace(found, seconds=round(max(seconds * share, 0.001), 3), bytes=size)
    return found
