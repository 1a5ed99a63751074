"""Notes the rows of a file for its manifest, and finds out which of them changed since an earlier export."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.chassis.blobs.contract import BlobWriter
from services.exporter.catalogue.columns import Selection, is_at_or_below, selection_of
from services.exporter.manifests.baseline import Baseline
from services.exporter.manifests.manifest import Changes
from services.exporter.manifests.sorter import EntrySorter
from services.exporter.manifests.writer import RepeatedKey, write_manifest
from services.exporter.transcode.row_hashes import (
    ADDED,
    CHANGED,
    ENTRY_BYTES,
    RECORD_BYTES,
    REPEATED,
    KeyCell,
    key_cells,
)


@dataclass(slots=True)
class Counts:
    """Rows so far."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0


class Tracker:
    """Tracks the rows of one file. Of a file that is written again, by another tracker.

    Args:
        key: names of the fields that identify a product.
        volatile: names of the columns or fields that are not compared.
        baseline: what the rows are compared with; None: the file has all rows.
        deletions: as in the options.
        folder: for temporary files; None: the system's.
    """

    def __init__(
        self,
        key: Sequence[str],
        volatile: Sequence[str],
        baseline: Baseline | None,
        deletions: str = "column",
        folder: str | None = None,
    ) -> None:
        self.key = tuple(key)
        self.volatile = tuple(volatile)
        self.deletions = deletions
        self.counts = Counts()
        self._baseline = baseline
        self._sorter = EntrySorter(folder)
        if baseline is not None:
            baseline.restart()

    @property
    def has_changes_only(self) -> bool:
        """Whether the file has changes, and not all rows."""
        return self._baseline is not None

    def compared(self, selection: Selection) -> Selection | None:
        """What is compared of a row with this selection; None: all of it."""
        if not self.volatile:
            return None
        if selection.output is not None:
            columns = tuple(one for one in selection.output.columns if one.header not in self.volatile)
            return selection_of(replace(selection.output, columns=columns))
        if selection.include is None:
            return Selection(None, tuple(dict.fromkeys((*selection.exclude, *self.volatile))))
        kept = [n for n in selection.include if not any(is_at_or_below(n, volatile) for volatile in self.volatile)]
        return Selection(tuple(kept), selection.exclude)

    def note(self, entries: bytes) -> bytes | None:
        """Take the entries of some rows; says what became of each, in a file with changes.

        Raises:
            RepeatedKey: two rows have the same key.
        """
        self._sorter.add(entries)
        if self._baseline is None:
            return None
        found = self._baseline.sift(entries)
        added, changed = found.count(ADDED), found.count(CHANGED)
        if REPEATED in found:
            raise RepeatedKey(_key_at(entries, found.index(REPEATED)))
        self.counts.added += added
        self.counts.changed += changed
        self.counts.unchanged += len(found) - added - changed
        return found

    def deleted(self) -> Iterator[list[KeyCell]]:
        """The keys of the rows that are not there any more, once all rows are noted."""
        for key in self._baseline.missing_keys() if self._baseline is not None else ():
            yield key_cells(key)

    def store(self, open_writer: Callable[[str], BlobWriter]) -> tuple[int, int]:
        """Write the manifest; returns its rows and bytes. Raises what `write_manifest` raises."""
        if self._baseline is not None:
            self.counts.deleted = self._baseline.missing()
        return write_manifest(self._sorter, open_writer)

    def changes(self, base: Changes) -> Changes:
        """What the file has."""
        counts = self.counts
        return replace(
            base, added=counts.added, changed=counts.changed, deleted=counts.deleted, unchanged=counts.unchanged
        )

    def close(self) -> None:
        """Remove temporary files."""
        self._sorter.close()


def shown_key(key: bytes) -> str:
    """A key for people."""
    return ", ".join(cell.text for cell in key_cells(key))


def _key_at(entries: bytes, number: int) -> bytes:
    at = 0
    for _ in range(number):
        at += ENTRY_BYTES + int.from_bytes(entries[at + RECORD_BYTES : at + ENTRY_BYTES], "little")
    size = int.from_bytes(entries[at + RECORD_BYTES : at + ENTRY_BYTES], "little")
    return entries[at + ENTRY_BYTES : at + ENTRY_BYTES + size]
