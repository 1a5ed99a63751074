"""What transcoders report besides bytes: counts, the names and widths of columns, and columns the header lacks."""

from dataclasses import dataclass, field

from services.exporter.transcode.findings import Findings


@dataclass(slots=True)
class Tally:
    """What has been encoded so far. Progress reports read it in another thread (only ints, so without a lock)."""

    records: dict[str, int] = field(default_factory=dict)
    """Rows written, by sheet."""
    seen: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Names of the selected leaves, by sheet, in first-seen order; False: only empty objects were found there."""
    widths: dict[str, dict[str, int]] = field(default_factory=dict)
    """The widths that the columns need, by sheet, for formats that write widths. If the file was started with other
    widths, it is written again."""
    types: dict[str, dict[str, str]] = field(default_factory=dict)
    """The types that the columns need (see column_types.py), by sheet, for formats whose columns are typed. If the file
    was started with other types, it is written again."""
    unchanged: int = 0
    """Rows that were left out, because the file has changes only."""
    texts_cut: int = 0
    """Cells cut because they were longer than the format allows."""
    findings: Findings = field(default_factory=Findings)
    """What the columns of the request did to single rows."""


class UnforeseenColumn(Exception):
    """A document has a leaf that the header has no column for, or that does not fit the type of its column.

    The export restarts with all columns and their final types.
    """

    def __init__(self, sheet: str, name: str) -> None:
        super().__init__(f"{sheet}: {name}")
        self.sheet = sheet
        self.name = name
