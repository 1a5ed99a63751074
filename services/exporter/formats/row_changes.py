"""The rows of a file that keeps a manifest; in a file with changes, only those that changed, each with what it is."""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from services.exporter.catalogue.columns import Selection
from services.exporter.manifests.options import key_column
from services.exporter.manifests.tracker import Tracker
from services.exporter.transcode import Encoded, Tally, transcoders
from services.exporter.transcode.row_hashes import ADDED, UNCHANGED

_DIFFERENT = re.compile(b"[^%c]" % UNCHANGED, re.DOTALL)
"""Finds the rows that are not unchanged, which are few, without looking at each in Python."""

Mark = Callable[[bytes, str], bytes]
"""Puts what happened to a row (added, changed) in front of it."""


class Rows(Protocol):
    """A transcoder of rows."""

    def encode(self, batch: bytes) -> Encoded:
        """The rows of a batch."""


Make = Callable[[Selection, Tally], Rows]
"""Makes the transcoder of rows with a selection."""


class TrackedRows:
    """Writes the rows of a transcoder as far as they belong in the file.

    Args:
        make: called again, with fewer columns, where some are not compared.
        ending: what the transcoder writes after each row.
    """

    def __init__(
        self, make: Make, selection: Selection, tally: Tally, tracker: Tracker, *, mark: Mark, ending: bytes = b""
    ) -> None:
        hashes = transcoders().row_hashes
        compared = tracker.compared(selection)
        self._rows = hashes(make(selection, tally), tracker.key, ending)
        self._compared = None if compared is None else hashes(make(compared, Tally()), tracker.key, ending)
        self._tracker = tracker
        self._tally = tally
        self._mark = mark

    def encode(self, batch: bytes) -> Encoded:
        """The rows of a batch that belong in the file; raises what the transcoder and `Tracker.note` raise."""
        written = self._rows.encode(batch)
        noted = written if self._compared is None else self._compared.encode(batch)
        found = self._tracker.note(noted.entries)
        if found is None:
            return Encoded(written.text, written.rows)
        pieces = []
        for at in (match.start() for match in _DIFFERENT.finditer(found)):
            begin = written.ends[at - 1] if at else 0
            row = written.text[begin : written.ends[at]]
            pieces.append(self._mark(row, "added" if found[at] == ADDED else "changed"))
        self._tally.unchanged += written.rows - len(pieces)
        return Encoded(b"".join(pieces), len(pieces))


def key_places(columns: Sequence[str], selection: Selection, key: Sequence[str]) -> list[int]:
    """The columns of a flat file that show the fields of a key."""
    if selection.output is None:
        return [columns.index(name) for name in key]
    return [at for name in key if (at := key_column(selection.output, name)) is not None]
