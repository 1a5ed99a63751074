"""One attempt at a file: read a snapshot of the catalogue, transcode it, write the artifact. Runs in its own thread.

The header of a flat file is complete before its first byte. The attempt starts with the columns of the last export of
the same request, or else with those of the first documents. If others have more, it reads on to find all of them, then
reads the same snapshot again with the columns it has found. Column widths, in formats that write them, are handled in
the same way, except that a first export reads all documents to find them.
"""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial

import structlog
from pymongo import MongoClient

from services.chassis.blobs.contract import BlobError, BlobWriter, StoreFull
from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document
from services.exporter.catalogue import snapshot as catalogue
from services.exporter.catalogue.projection import projection
from services.exporter.errors import JobFault
from services.exporter.export.headers import Header, Headers
from services.exporter.export.plan import Plan
from services.exporter.export.sheet_reader import SheetReader
from services.exporter.export.warnings import warnings
from services.exporter.formats.contract import Sheet, TooManyColumns
from services.exporter.jobs.job import Stage
from services.exporter.prefetch import Prefetch, Stopped
from services.exporter.transcode import MissingCell, Tally, UnforeseenColumn, transcoders
from services.exporter.transcode.findings import Findings

log = structlog.get_logger()

MAX_SNAPSHOTS = 3
MAX_NAMED = 200
"""Characters of an id or a header in a message."""
SMALL_DOCUMENTS = catalogue.BATCH_DOCUMENTS
"""Exports of at most so many documents are small: threads would cost more than they gain."""


@dataclass(slots=True)
class Progress:
    """What the heartbeat reports; written by the attempt's thread, read by another."""

    stage: Stage = Stage.READING
    total: int | None = None
    tally: Tally = field(default_factory=Tally)
    on_size: Callable[[int], None] = lambda _: None
    """Called, in the attempt's thread, with the most documents that it may read."""

    @property
    def processed(self) -> int:
        """Documents transcoded so far, in all sheets."""
        return sum(list(self.tally.records.values()))


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is complete in the artifact store, but not yet committed to its job."""

    size: int
    sha256: str
    records: Mapping[str, int]
    seen: Mapping[str, tuple[str, ...]]
    """Names of the leaves that were found, by sheet, in the order of the columns."""
    columns: Mapping[str, tuple[str, ...]]
    """Those of `seen` that have a column."""
    widths: Mapping[str, Mapping[str, int]]
    """Of `columns`; empty for formats without widths."""
    types: Mapping[str, Mapping[str, str]]
    """Of `columns`; empty for formats without types."""
    warnings: tuple[ErrorInfo, ...]
    findings: Findings


class Attempt:
    """One attempt at one plan.

    Args:
        sizes: documents of each sheet's collection.
        open_writer: opens the artifact; called again when the file is restarted.
        stop: set by others to end the attempt; noticed within a second, even while MongoDB does not answer.
    """

    def __init__(
        self,
        plan: Plan,
        client: MongoClient[Document],
        sizes: Mapping[str, int],
        open_writer: Callable[[], BlobWriter],
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._client = client
        self._sizes = sizes
        self._open_writer = open_writer
        self._progress = progress
        self._stop = stop
        self._counts: Mapping[str, int | None] = {}

    def run(self) -> Written:
        """Make the file.

        Raises:
            JobFault: with the code and message for the job.
            Stopped: `stop` was set.
        """
        try:
            for _ in range(MAX_SNAPSHOTS):
                try:
                    with catalogue.snapshot(self._client, self._plan.tenant) as view:
                        return self._from_snapshot(view)
                except catalogue.SnapshotLost:
                    continue
        except StoreFull as exc:
            message = f"The artifact store is full: {exc}. Free space or shorten the retention; the export is retried."
            raise JobFault("artifact_store_full", message, transient=True) from exc
        except BlobError as exc:
            log.warning("artifact_store_failed", action="export", reason=str(exc))  # may name internal servers
            message = "The artifact store is not available; the export is retried."
            raise JobFault("artifact_store_unavailable", message, transient=True) from exc
        except TooManyColumns as exc:
            by = "by the setting MAX_COLUMNS" if exc.limit == self._plan.max_columns else "in a workbook"
            message = (
                f"The file would have at least {exc.columns} columns, at most {exc.limit} are allowed {by}; "
                "use include_fields."
            )
            raise JobFault("too_many_columns", message, transient=False) from exc
        except MissingCell as exc:
            message = (
                f"The product {exc.row[:MAX_NAMED]!r} has no value for the column {exc.column[:MAX_NAMED]!r}, "
                "which has if_missing: fail. Complete the product, or skip such rows with if_missing: skip_row."
            )
            raise JobFault("missing_value", message, transient=False) from exc
        message = "The export took longer than MongoDB keeps a snapshot; raise minSnapshotHistoryWindowInSeconds."
        raise JobFault("snapshot_too_old", message, transient=True)

    def _from_snapshot(self, view: catalogue.Snapshot) -> Written:
        sheets = self._plan.format.sheets(self._plan.options)
        self._counts = {sheet: self._count(view, sheet) for sheet in sheets}
        counts = list(self._counts.values())
        self._progress.total = None if None in counts else sum(count or 0 for count in counts)
        headers = Headers(self._plan, partial(self._batches, view))
        chosen: dict[str, Header] = {}
        while True:
            with ExitStack() as stack:
                readers = {sheet: stack.enter_context(SheetReader(self._batches(view, sheet))) for sheet in sheets}
                try:
                    chosen = chosen or _predicted(headers, readers)
                    written = self._write(view, headers, chosen, readers)
                except UnforeseenColumn as exc:
                    chosen[exc.sheet] = headers.complete(exc.sheet, self._progress.tally, readers[exc.sheet])
                    continue
            if written is not None:
                return written
            chosen = {sheet: headers.needed(sheet, self._progress.tally) for sheet in sheets}

    def _count(self, view: catalogue.Snapshot, sheet: str) -> int | None:
        if self._plan.explode_of(sheet) is not None:
            return None
        query, limit = self._plan.query_of(sheet), self._plan.limit_of(sheet)
        count = view.count(sheet, query) if query else self._sizes[sheet]
        return count if count is None or limit is None else min(count, limit)

    def _batches(self, view: catalogue.Snapshot, sheet: str) -> Prefetch:
        plan = self._plan
        reductions = plan.reductions_of(sheet)
        fields = projection(plan.selection(sheet), is_reduced=bool(reductions))
        found = view.batches(
            sheet,
            plan.query_of(sheet),
            fields,
            plan.sort_of(sheet),
            limit=plan.limit_of(sheet) or 0,
            explode=plan.explode_of(sheet),
        )
        if reductions:
            reducer = transcoders().reducer(reductions)
            found = (reducer.reduce(batch) for batch in found)
        return Prefetch(found, self._stop, name="export-read")

    def _write(
        self,
        view: catalogue.Snapshot,
        headers: Headers,
        chosen: Mapping[str, Header],
        readers: Mapping[str, SheetReader],
    ) -> Written | None:
        """Write the file; None when the header turned out to be wrong."""
        tally = self._progress.tally = Tally()
        self._progress.stage = Stage.READING
        digest, size = hashlib.sha256(), 0
        writer = self._open_writer()
        try:
            with ExitStack() as stack:
                for chunk in self._chunks(chosen, readers, digest, stack):
                    size += len(chunk)
                    writer.write(chunk)
            if any(header != headers.needed(sheet, tally) for sheet, header in chosen.items() if header.columns):
                writer.abort()
                return None
            found = warnings(self._plan, tally, view)
            self._progress.stage = Stage.FINALIZING
            if self._stop.is_set():
                raise Stopped
            writer.commit()
        except BaseException:
            writer.abort()
            raise
        columns = {sheet: headers.found(sheet, names) for sheet, names in tally.seen.items()}
        return Written(
            size=size,
            sha256=digest.hexdigest(),
            records=dict(tally.records),
            seen={sheet: headers.ordered(sheet, names) for sheet, names in tally.seen.items()},
            columns=columns,
            widths={sheet: {name: widths[name] for name in columns[sheet]} for sheet, widths in tally.widths.items()},
            types={sheet: {name: types[name] for name in columns[sheet]} for sheet, types in tally.types.items()},
            warnings=found,
            findings=tally.findings,
        )

    def _chunks(
        self,
        chosen: Mapping[str, Header],
        readers: Mapping[str, SheetReader],
        digest: "hashlib._Hash",
        stack: ExitStack,
    ) -> Iterator[bytes]:
        """The file's bytes. While the caller writes, reading, transcoding and hashing each have a thread.

        A small export only has one for reading, which may hang.
        """
        sheets = [
            Sheet(
                name,
                header.columns,
                self._plan.selection(name),
                readers[name],
                header.widths,
                header.types,
                self._counts.get(name),
            )
            for name, header in chosen.items()
        ]
        encoded = self._plan.format.encode(sheets, self._plan.options, self._progress.tally)
        if sum(self._sizes.values()) <= SMALL_DOCUMENTS:
            return stack.enter_context(closing(_hashed(stack.enter_context(closing(encoded)), digest)))
        chunks = stack.enter_context(Prefetch(encoded, self._stop, name="export-encode"))
        return stack.enter_context(Prefetch(_hashed(chunks, digest), self._stop, name="export-hash"))


def _predicted(headers: Headers, readers: Mapping[str, SheetReader]) -> dict[str, Header]:
    """Of several sheets no sample is taken: the cursor of the last one would wait until the others are written."""
    may_sample = len(readers) == 1
    return {sheet: headers.predict(sheet, reader if may_sample else None) for sheet, reader in readers.items()}


def _hashed(chunks: Iterator[bytes], digest: "hashlib._Hash") -> Generator[bytes, None, None]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
