"""What happened to single rows of a file: rows that were skipped, texts that were cut, values that are refused."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

MAX_LISTED = 100
"""Findings that are kept one by one; the others are only counted."""
MAX_ROW_ID, MAX_HEADER = 200, 200
"""Characters that are kept of a product's id and of a column's header."""


class Reason(StrEnum):
    """Why a row is listed."""

    SKIPPED_ROW = "skipped_row"
    """A cell that must have a value has none, so the row was left out."""
    CUT_TEXT = "cut_text"
    """A text was longer than `max_length`."""
    # What the receiver of the file refuses, according to its feed template:
    MISSING_VALUE = "missing_value"
    """There is no value in a required column, or in none of a group of columns."""
    NOT_ALLOWED = "not_allowed"
    """Not one of the texts that the receiver knows."""
    TOO_LONG = "too_long"
    INVALID_PRICE = "invalid_price"
    INVALID_GTIN = "invalid_gtin"
    INVALID_LINK = "invalid_link"
    NOT_TEXT = "not_text"
    """A list or an object."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row; `row` is the product's id as exported."""

    row: str
    column: str
    reason: str
    """A `Reason`; files of other versions of this service may have others."""


@dataclass(slots=True)
class Findings:
    """The first findings of a file, and how many there are of each kind."""

    listed: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By column and reason."""
    rules: dict[tuple[str, str], str] = field(default_factory=dict)
    """What the receiver accepts, by column and reason; only for what it refuses."""

    @property
    def is_full(self) -> bool:
        """Whether further findings are only counted."""
        return len(self.listed) >= MAX_LISTED

    def add(self, reason: Reason, row: str, column: str) -> None:
        """Note one row."""
        self.counts[(column, reason)] += 1
        if not self.is_full:
            self.listed.append(Finding(row[:MAX_ROW_ID], column[:MAX_HEADER], reason))

    def total(self, reason: Reason) -> int:
        """How many rows there are with this reason, in all columns."""
        return sum(rows for (_, why), rows in self.counts.items() if why == reason)

    def count(self, column: str, reason: Reason, rows: int) -> None:
        """Count rows that are not listed."""
        self.counts[(column, reason)] += rows
