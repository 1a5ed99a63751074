"""Everything an attempt at a file needs to know before it reads the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.exporter.catalogue.column_store import ColumnMemory
from services.exporter.catalogue.columns import Selection
from services.exporter.formats.contract import ExportOptions, Format

FILTERED_SHEET = "products"
"""The collection that a request's fields and filters are about; of others, everything is exported."""
ALL_FIELDS = Selection()


@dataclass(frozen=True, slots=True)
class Plan:
    """One request, checked, with what is remembered of earlier ones."""

    tenant: str
    format: Format
    options: ExportOptions
    query: Mapping[str, Any]
    memory: Mapping[str, ColumnMemory]
    """By sheet."""
    max_columns: int

    def selection(self, sheet: str) -> Selection:
        """What the request chose of a sheet: fields and filters are about products."""
        return self.options.selection if sheet == FILTERED_SHEET else ALL_FIELDS

    def query_of(self, sheet: str) -> Mapping[str, Any]:
        """The MongoDB query for a sheet."""
        return self.query if sheet == FILTERED_SHEET else {}
