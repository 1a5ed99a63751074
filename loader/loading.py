"""Loads one file into one collection: examines both, then writes the entries in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from loader.catalogue import Documents, Known, index_on, known, make_indexes
from loader.entries.csv_entries import CsvEntries, Layout
from loader.entries.entry import Refused
from loader.entries.json_entries import json_entries
from loader.entries.survey import Survey, survey
from loader.files.csv_records import CsvRows
from loader.files.text_file import is_csv, open_text
from loader.upsert import Entries, Outcome, Upsert, batches
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
        stopped: called between batches; True stops the load.
    """

    at: Callable[[str, int], None]
    refuse: Callable[[Refused], None]
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
    """Loads one file into one collection; `outcome` can be read at any time, even after an error."""

    def __init__(self, path: Path, collection: Documents, watch: Watch) -> None:
        self._path = path
        self._collection = collection.with_options(codec_options=CODEC)
        self._watch = watch
        self.outcome = Outcome()

    def run(self) -> None:
        """Load the file.

        Raises:
            BadFile: the file cannot be loaded; for a truncated JSON array: not beyond this point.
            Stopped: `Watch.stopped` returned True.
            OSError: the file cannot be read.
            PyMongoError: MongoDB does not answer, or rejects a command.
        """
        if is_csv(self._path):
            self._run_csv()
        else:
            with open_text(self._path) as source:
                self._write(source, json_entries(source), known(self._collection), json_text)
        make_indexes(self._collection, self.outcome.fields)

    def _run_csv(self) -> None:
        with open_text(self._path) as source:
            header = CsvRows(source).header
        catalogue = known(self._collection, [name for quoted in header for name in {quoted, unquoted(quoted)}])
        found = self._survey(catalogue)
        names = {name: _name(name, catalogue, found) for name in header}
        types = {
            name: catalogue.types.get(name) or found.inferred.get(quoted, ColumnTypes())
            for quoted, name in names.items()
        }
        brought = found.brought() if catalogue.is_empty else {}
        with open_text(self._path) as source:
            layout = Layout.of(
                tuple(names[name] for name in header),
                types.__getitem__,
                catalogue.ids if catalogue.ids.kinds else found.ids,
            )
            columns = {line: [names[name] for name in columns] for line, columns in brought.items()}
            entries = CsvEntries(CsvRows(source), layout, escaped=found.escaped, brought=columns)
            self._write(source, iter(entries), catalogue, text)

    def _survey(self, catalogue: Known) -> Survey:
        with open_text(self._path) as source:
            rows = 0

            def progress() -> None:
                nonlocal rows
                rows += 1
                if rows % PROGRESS_ROWS == 0:
                    self._watch.report("reading", source.buffer.tell())

            return survey(CsvRows(source), catalogue.types, progress)

    def _write(self, source: TextIO, entries: Entries, catalogue: Known, show: Show) -> None:
        id_fields: Sequence[str] = ("_id", "id") if catalogue.has_own_ids else ("_id",)
        for name in ({*id_fields} - {"_id"}) | {"sku"}:
            index_on(self._collection, name)
        upsert = Upsert(self._collection, show, id_fields, self.outcome, self._watch.refuse)
        self._watch.report("loading", 0)
        for batch in batches(entries):
            upsert.write(batch)
            self._watch.report("loading", source.buffer.tell())


def _name(name: str, catalogue: Known, found: Survey) -> str:
    """A name in the header without the quote of `escape_formulas`."""
    bare = unquoted(name)
    is_quoted = bare in catalogue.types or found.escaped
    return bare if name not in catalogue.types and is_quoted else name
