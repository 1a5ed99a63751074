"""Loads one file into one collection: examines both, then writes the entries in batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from loader.catalogue import Documents, Known, index_on, known, make_indexes
from loader.entries.entry import Refused
from loader.entries.json_entries import json_entries
from loader.entries.row_entries import Layout, RowEntries
from loader.entries.survey import Survey, survey
from loader.files.csv_rows import CsvRows
from loader.files.table import Rows
from loader.files.text_file import FileKind, kind_of_file, open_text
from loader.files.workbook import WorkbookRows
from loader.upsert import Change, Entries, Outcome, Upsert, batches
from loader.values.cells import unquoted
from loader.values.identity import Show
from loader.values.kinds import ColumnTypes
from services.exporter.transcode.values import CODEC, json_text, text

PROGRESS_ROWS = 1_000


class Stopped(Exception):
    """The load was stopped; everything before that is written and counted."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Callbacks that report on a load and can stop it.

    Attributes:
        at: called with the step (`reading`, `loading`) and the number of bytes read from the file.
        refuse: called with every record that could not be loaded.
        change: called with the line of every record that changes a product, and the product before (None: it is new)
            and after.
        stopped: called between batches; True stops the load.
    """

    at: Callable[[str, int], None]
    refuse: Callable[[Refused], None]
    change: Change
    stopped: Callable[[], bool]

    def report(self, step: str, position: int) -> None:
        """Report the progress of a step.

        Raises:
            Stopped: the load has to stop.
        """
        self.at(step, position)
        if self.stopped():
            raise Stopped


class Load:
    """Loads one file into one collection; `outcome` can be read at any time, even after an error.

    Args:
        dry_run: only report what would change; nothing is written.
    """

    def __init__(self, path: Path, collection: Documents, watch: Watch, *, dry_run: bool = False) -> None:
        self._path = path
        self._collection = collection.with_options(codec_options=CODEC)
        self._watch = watch
        self._dry_run = dry_run
        self.outcome = Outcome()

    def run(self) -> None:
        """Load the file.

        Raises:
            BadFile: the file cannot be loaded; for a truncated JSON array: not beyond this point.
            Stopped: `Watch.stopped` returned True.
            OSError: the file cannot be read.
            PyMongoError: MongoDB does not answer, or rejects a command.
        """
        kind = kind_of_file(self._path)
        if kind is FileKind.JSON:
            with open_text(self._path) as source:
                self._write(source.buffer.tell, json_entries(source), known(self._collection), json_text)
        elif kind is FileKind.CSV:
            self._load_table(self._csv)
        else:
            rows = WorkbookRows(self._path, self._collection.name)
            size = self._path.stat().st_size
            self._load_table(lambda: nullcontext(Table(rows, lambda: int(size * rows.share_read()))))
        if not self._dry_run:
            make_indexes(self._collection, self.outcome.fields)

    @contextmanager
    def _csv(self) -> Iterator["Table"]:
        with open_text(self._path) as source:
            yield Table(CsvRows(source), source.buffer.tell)

    def _load_table(self, open_table: Callable[[], AbstractContextManager["Table"]]) -> None:
        """Load a table, which is opened and read twice."""
        with open_table() as table:
            header = table.rows.header
            catalogue = known(self._collection, [name for quoted in header for name in {quoted, unquoted(quoted)}])
            found = self._survey(table, catalogue)
        names = {name: _name(name, catalogue, found) for name in header}
        types = {
            name: catalogue.types.get(name) or found.inferred.get(quoted, ColumnTypes())
            for quoted, name in names.items()
        }
        brought = found.brought() if catalogue.is_empty else {}
        layout = Layout.of(
            tuple(names[name] for name in header),
            types.__getitem__,
            catalogue.ids if catalogue.ids.kinds else found.ids,
        )
        columns = {line: [names[name] for name in columns] for line, columns in brought.items()}
        with open_table() as table:
            entries = RowEntries(table.rows, layout, escaped=found.escaped, brought=columns)
            self._write(table.position, iter(entries), catalogue, text)

    def _survey(self, table: "Table", catalogue: Known) -> Survey:
        count = 0

        def progress() -> None:
            nonlocal count
            count += 1
            if count % PROGRESS_ROWS == 0:
                self._watch.report("reading", table.position())

        return survey(table.rows, catalogue.types, progress)

    def _write(self, position: Callable[[], int], entries: Entries, catalogue: Known, show: Show) -> None:
        id_fields: Sequence[str] = ("_id", "id") if catalogue.has_own_ids else ("_id",)
        for name in () if self._dry_run else ({*id_fields} - {"_id"}) | {"sku"}:
            index_on(self._collection, name)
        watch = self._watch
        upsert = Upsert(
            self._collection, show, id_fields, self.outcome, watch.refuse, watch.change, dry_run=self._dry_run
        )
        watch.report("loading", 0)
        for batch in batches(entries):
            upsert.write(batch)
            watch.report("loading", position())


@dataclass(frozen=True, slots=True)
class Table:
    """An open table; `position` is the number of bytes read from its file."""

    rows: Rows
    position: Callable[[], int]


def _name(name: str, catalogue: Known, found: Survey) -> str:
    """A name in the header without the quote of `escape_formulas`."""
    bare = unquoted(name)
    is_quoted = bare in catalogue.types or found.escaped
    return bare if name not in catalogue.types and is_quoted else name
