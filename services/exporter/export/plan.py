"""Everything an attempt at a file needs to know before it reads the catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.exporter.catalogue.column_store import RememberedColumns
from services.exporter.catalogue.columns import Selection
from services.exporter.formats.contract import ExportOptions, Format
from services.exporter.requests.request import FILTERED_SHEET

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
