"""One attempt at a file: read a snapshot of the catalogue, transcode it, write the artifact. Runs in its own thread.

The header of a flat file is complete before its first byte: the attempt starts with the columns known from last time,
and when the documents hold others it reads the same snapshot once more with exactly those it met. So it is with the
widths of columns, where the file shows them.
"""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from pymongo import MongoClient

from services.chassis.blobs.contract import BlobError, BlobWriter, StoreFull
from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document
from services.exporter.catalogue import snapshot as catalogue
from services.exporter.catalogue.projection import projection
from services.exporter.errors import JobFault
from services.exporter.export.headers import Header, Headers
from services.exporter.export.pipeline import Ahead, Stopped
from services.exporter.export.plan import ALL_FIELDS, FILTERED_SHEET, Plan
from services.exporter.export.warnings import warnings_of
from services.exporter.formats.contract import Sheet, Tally, TooManyColumns, UnforeseenColumn
from services.exporter.jobs.job import Stage
from services.exporter.transcode import discover

SNAPSHOT_TRIES = 3


@dataclass(slots=True)
class Progress:
    """What the attempt shows to its heartbeat; written by one thread, read by another."""

    stage: Stage = Stage.READING
    total: int | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def processed(self) -> int:
        """Documents transcoded so far, in all sheets."""
        return sum(list(self.tally.records.values()))


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is written and committed to the store, not yet to its job."""

    size: int
    sha256: str
    records: Mapping[str, int]
    seen: Mapping[str, tuple[str, ...]]
    widths: Mapping[str, Mapping[str, int]]
    """Of the columns of the names that were seen, by sheet, where the file shows them."""
    warnings: tuple[ErrorInfo, ...]


class Attempt:
    """One attempt at one plan.

    Args:
        open_writer: opens the artifact; called again when the file is begun anew.
        stop: set by others to end the attempt; noticed within a second, also while MongoDB is silent.
    """

    def __init__(
        self,
        plan: Plan,
        client: MongoClient[Document],
        open_writer: Callable[[], BlobWriter],
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._client = client
        self._open_writer = open_writer
        self._progress = progress
        self._stop = stop

    def run(self) -> Written:
        """Make the file.

        Raises:
            JobFault: with a code and a sentence for the job.
            Stopped: `stop` was set.
        """
        try:
            for _ in range(SNAPSHOT_TRIES):
                try:
                    with catalogue.snapshot(self._client, self._plan.tenant) as view:
                        return self._from_snapshot(view)
                except catalogue.SnapshotLost:
                    continue
        except StoreFull as exc:
            message = f"The artifact store is full: {exc}. Free space or shorten the retention; it is tried again."
            raise JobFault("artifact_store_full", message, transient=True) from exc
        except BlobError as exc:
            raise JobFault("artifact_store_unavailable", f"The artifact store failed: {exc}", transient=True) from exc
        except TooManyColumns as exc:
            message = (
                f"The file would have {exc.columns} columns, at most {exc.limit} are possible; use include_fields."
            )
            raise JobFault("too_many_columns", message, transient=False) from exc
        message = "The export took longer than MongoDB keeps a snapshot; raise minSnapshotHistoryWindowInSeconds."
        raise JobFault("snapshot_too_old", message, transient=True)

    def _from_snapshot(self, view: catalogue.Snapshot) -> Written:
        sheets = self._plan.format.sheets(self._plan.options)
        counts = [view.count(sheet, self._plan.query_of(sheet)) for sheet in sheets]
        self._progress.total = None if None in counts else sum(count or 0 for count in counts)
        headers = Headers(self._plan, partial(self._batches, view))
        chosen = {sheet: headers.foreseen(sheet) for sheet in sheets}
        while True:
            try:
                written = self._write(view, headers, chosen)
            except UnforeseenColumn as exc:
                unforeseen = exc.sheet
            else:
                if written is not None:
                    return written
                chosen = {sheet: headers.met(sheet, self._progress.tally) for sheet in sheets}
                continue
            chosen[unforeseen] = headers.found(unforeseen)

    def _batches(self, view: catalogue.Snapshot, sheet: str) -> Ahead:
        fields = projection(self._plan.selection(sheet))
        return Ahead(view.batches(sheet, self._plan.query_of(sheet), fields), self._stop, name="export-read")

    def _write(self, view: catalogue.Snapshot, headers: Headers, chosen: Mapping[str, Header]) -> Written | None:
        """The file, or None when its header turned out not to fit."""
        tally = self._progress.tally = Tally()
        self._progress.stage = Stage.READING
        digest, size = hashlib.sha256(), 0
        writer = self._open_writer()
        try:
            with ExitStack() as stack:
                for chunk in self._chunks(view, chosen, digest, stack):
                    size += len(chunk)
                    writer.write(chunk)
            if any(header != headers.met(sheet, tally) for sheet, header in chosen.items() if header.columns):
                writer.abort()
                return None
            warnings = self._warnings(view, tally)
            self._progress.stage = Stage.FINALIZING
            if self._stop.is_set():
                raise Stopped
            writer.commit()
        except BaseException:
            writer.abort()
            raise
        seen = {sheet: headers.ordered(sheet, names) for sheet, names in tally.seen.items()}
        return Written(
            size=size,
            sha256=digest.hexdigest(),
            records=dict(tally.records),
            seen=seen,
            widths={sheet: {name: found[name] for name in seen[sheet]} for sheet, found in tally.widths.items()},
            warnings=warnings,
        )

    def _chunks(
        self, view: catalogue.Snapshot, chosen: Mapping[str, Header], digest: "hashlib._Hash", stack: ExitStack
    ) -> Ahead:
        """The file's bytes: read, transcoded and hashed in a thread each, while the caller writes."""
        sheets = [
            Sheet(
                name,
                header.columns,
                self._plan.selection(name),
                stack.enter_context(self._batches(view, name)),
                header.widths,
            )
            for name, header in chosen.items()
        ]
        encoded = self._plan.format.encode(sheets, self._plan.options, self._progress.tally)
        chunks = stack.enter_context(Ahead(encoded, self._stop, name="export-encode"))
        return stack.enter_context(Ahead(_hashed(chunks, digest), self._stop, name="export-hash"))

    def _warnings(self, view: catalogue.Snapshot, tally: Tally) -> tuple[ErrorInfo, ...]:
        plan = self._plan
        if FILTERED_SHEET not in tally.records:
            return warnings_of(tally, FILTERED_SHEET, ALL_FIELDS, filtered=False, known=tuple)
        known = plan.memory[FILTERED_SHEET].order
        return warnings_of(
            tally,
            FILTERED_SHEET,
            plan.options.selection,
            filtered=bool(plan.query),
            known=lambda: known or self._sampled_names(view),
        )

    def _sampled_names(self, view: catalogue.Snapshot) -> tuple[str, ...]:
        """The names in the first products; the catalogue was never exported whole."""
        seen: dict[str, None] = {}
        for batch in islice(view.batches(FILTERED_SHEET, {}, None), 1):
            discover(batch, ALL_FIELDS, seen)
        return tuple(seen)


def _hashed(chunks: Iterator[bytes], digest: "hashlib._Hash") -> Generator[bytes, None, None]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
