"""How the rows of one export are tracked: where its manifest goes, and what it is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.chassis.blobs.contract import BlobWriter
from services.chassis.faults import ErrorInfo
from services.exporter.errors import JobFault
from services.exporter.export.baselines import DIFFERENT_COLUMNS, made_in_full
from services.exporter.manifests.baseline import Baseline
from services.exporter.manifests.manifest import Changes, Manifest, columns_id
from services.exporter.manifests.options import CHANGE_COLUMN, ChangeOptions
from services.exporter.manifests.tracker import Tracker


@dataclass(slots=True)
class Tracking:
    """Of one attempt; its state changes when it turns out that the rows cannot be compared.

    Args:
        manifest: as it will be stored; rows, size and columns are not known yet.
        base: what the file is based on.
        columns: of the baseline's manifest.
    """

    options: ChangeOptions
    manifest: Manifest
    open_writer: Callable[[str], BlobWriter]
    """Opens the blob of the manifest with this suffix."""
    folder: str
    """For temporary files."""
    escape_formulas: bool
    """Whether the file has escaped formulas."""
    baseline: Baseline | None = None
    base: Changes | None = None
    columns: str = ""
    warning: ErrorInfo | None = None
    """Why the file has all rows although changes were asked for."""

    def tracker(self) -> Tracker:
        """The tracker of a file that is started."""
        options = self.options
        return Tracker(options.key, options.volatile_fields, self.baseline, options.deletions, self.folder)

    def can_compare(self, columns: Sequence[str]) -> bool:
        """Whether the rows, with these columns, can be compared. False: from now on, the file has all rows.

        Raises:
            JobFault: they cannot, and the request does not allow a file with all rows; or a column has the name of the
                one that says what changed.
        """
        if self.baseline is not None and CHANGE_COLUMN in columns:
            message = f"The file has a column {CHANGE_COLUMN} of its own; leave it out, or give it another header."
            raise JobFault("change_column_taken", message, transient=False)
        if self.baseline is None or self._columns_id(columns) == self.columns:
            return True
        if self.options.on_missing_baseline == "fail":
            raise JobFault(DIFFERENT_COLUMNS.code, DIFFERENT_COLUMNS.message, transient=False)
        self.baseline, self.base, self.warning = None, Changes(), made_in_full(DIFFERENT_COLUMNS)
        return False

    def finish(self, tracker: Tracker, columns: Sequence[str]) -> tuple[Manifest, Changes | None]:
        """Store the manifest of a complete file. Raises what `write_manifest` raises."""
        rows, size = tracker.store(self.open_writer)
        manifest = replace(self.manifest, rows=rows, size=size, columns=self._columns_id(columns))
        if self.base is None or self.baseline is None:
            return manifest, self.base
        changes = tracker.changes(self.base)
        is_empty = changes.added + changes.changed + changes.deleted == 0
        return manifest, replace(changes, skips_delivery=is_empty and self.options.empty == "skip")

    def _columns_id(self, columns: Sequence[str]) -> str:
        return columns_id(columns, self.escape_formulas)
