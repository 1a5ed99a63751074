"""Everything an attempt at a file needs to know before it reads the catalogue, and how it reads it."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.exporter.catalogue.column_store import RememberedColumns
from services.exporter.catalogue.columns import Selection
from services.exporter.catalogue.projection import projection
from services.exporter.catalogue.snapshot import Snapshot
from services.exporter.formats.contract import ExportOptions, Format
from services.exporter.requests.request import FILTERED_SHEET
from services.exporter.transcode import transcoders
from services.exporter.transcode.locales import Reduction

ALL_FIELDS = Selection()


@dataclass(frozen=True, slots=True)
class Plan:
    """One checked request, with the columns remembered from earlier exports."""

    tenant: str
    format: Format
    options: ExportOptions
    query: Mapping[str, Any]
    remembered: Mapping[str, RememberedColumns]
    """By sheet."""
    max_columns: int
    sort: Sequence[tuple[str, int]] = ()
    """The order of the products; empty: as stored."""

    def selection(self, sheet: str) -> Selection:
        """The requested fields of a sheet; sheets other than products are exported whole."""
        return self.options.selection if sheet == FILTERED_SHEET else ALL_FIELDS

    def query_of(self, sheet: str) -> Mapping[str, Any]:
        """The MongoDB query for a sheet; sheets other than products are exported whole."""
        return self.query if sheet == FILTERED_SHEET else {}

    def sort_of(self, sheet: str) -> Sequence[tuple[str, int]]:
        """MongoDB's sort for a sheet; sheets other than products are in stored order."""
        return self.sort if sheet == FILTERED_SHEET else ()

    def explode_of(self, sheet: str) -> str | None:
        """The field of a sheet whose items each become a row."""
        return self.options.explode if sheet == FILTERED_SHEET else None

    def reductions_of(self, sheet: str) -> tuple[Reduction, ...]:
        """What is kept of objects with locales or currencies as keys in a sheet; empty: everything."""
        return self.options.reductions if sheet == FILTERED_SHEET else ()

    def limit_of(self, sheet: str) -> int | None:
        """The maximum number of documents of a sheet; None: all."""
        return self.options.limit if sheet == FILTERED_SHEET else None

    def batches(
        self, view: Snapshot, sheet: str, *, limit: int | None = None, max_millis: int | None = None
    ) -> Generator[bytes, None, None]:
        """The documents of a sheet as the transcoders need them, about 1,000 at a time, as raw BSON end to end.

        Args:
            limit: the maximum number of documents, in addition to that of the request.
            max_millis: as in `Snapshot.batches`, with its errors.
        """
        reductions = self.reductions_of(sheet)
        limits = [most for most in (limit, self.limit_of(sheet)) if most is not None]
        found = view.batches(
            sheet,
            self.query_of(sheet),
            projection(self.selection(sheet), is_reduced=bool(reductions)),
            self.sort_of(sheet),
            limit=min(limits, default=0),
            explode=self.explode_of(sheet),
            max_millis=max_millis,
        )
        if not reductions:
            return found
        reducer = transcoders().reducer(reductions)
        return (reducer.reduce(batch) for batch in found)
