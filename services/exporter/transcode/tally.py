"""What transcoders report besides bytes: counts, the names and widths of columns, and columns the header lacks."""

from dataclasses import dataclass, field


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
    texts_cut: int = 0
    """Cells cut because they were longer than the format allows."""


class UnforeseenColumn(Exception):
    """A document has a leaf that the header has no column for; the export restarts with all columns."""

    def __init__(self, sheet: str, name: str) -> None:
        super().__init__(f"{sheet}: {name}")
        self.sheet = sheet
        self.name = name
