"""Parses filters, translates them to a MongoDB query, and checks their values against the types that fields hold.

Pure; the rules are in docs/values.md. Only the operators listed there reach MongoDB: no `$`, no regex, no code.
"""

from services.exporter.requests.filters.conditions import (
    Condition,
    Filter,
    FilterError,
    fields,
    name_problem,
    parse_filter,
    place,
    shown,
)
from services.exporter.requests.filters.kinds import Misread, check_values, misread
from services.exporter.requests.filters.query import paths, to_query

__all__ = [
    "Condition",
    "Filter",
    "FilterError",
    "Misread",
    "check_values",
    "fields",
    "misread",
    "name_problem",
    "parse_filter",
    "paths",
    "place",
    "shown",
    "to_query",
]
