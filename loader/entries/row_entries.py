"""Entries from rows: the cells are compared with the product, and only changed cells change it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bson import ObjectId

from loader.entries.entry import NO_KEY, Entry, Refused
from loader.errors import BadRecord
from loader.files.table import Row, Rows
from loader.files.text_file import check_text
from loader.values.cells import changed, new, shows, unquoted
from loader.values.identity import Key, key_of_cell
from loader.values.kinds import ColumnTypes
from loader.values.paths import MISSING, at, drop, put
from services.exporter.catalogue.columns import parents_of
from services.exporter.transcode.values import Document, as_object, parts, text


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file, and the path of its values in a product.

    `has_columns_below`: an empty object here is an empty cell.
    """

    place: int
    name: str
    path: tuple[str, ...]
    types: ColumnTypes
    has_columns_below: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file by purpose: `_id`, or else `id`, identifies the product, each with the fields below it.

    If `_id` identifies the product, `id` is an ordinary field.
    """

    id: tuple[Column, ...]
    underscore_id: tuple[Column, ...]
    own_id: tuple[Column, ...]
    others: tuple[Column, ...]
    sku: Column | None

    @staticmethod
    def of(header: tuple[str, ...], types: Callable[[str], ColumnTypes], ids: ColumnTypes) -> "Layout":
        """The layout of a header of unquoted names; `ids` are the types of the products' ids."""
        parents = parents_of(header)
        columns = [
            Column(i, name, tuple(parts(name)), types(name), name in parents) for i, name in enumerate(header) if name
        ]
        keys = [replace(column, types=ids) if len(column.path) == 1 else column for column in columns]
        return Layout(
            id=tuple(column for column in keys if column.path[0] == "id"),
            underscore_id=tuple(column for column in keys if column.path[0] == "_id"),
            own_id=tuple(column for column in columns if column.path[0] == "id"),
            others=tuple(column for column in columns if column.path[0] not in ("id", "_id")),
            sku=next((column for column in columns if column.path == ("sku",)), None),
        )


class RowEntries:
    """The entries of a file.

    Args:
        escaped: whether `'` before a formula is a quote.
        brought: by line, names of columns that must come first there, in their order; see `Survey.brought`.
    """

    def __init__(self, rows: Rows, layout: Layout, *, escaped: bool, brought: Mapping[int, list[str]]) -> None:
        self._rows = rows
        self._layout = layout
        self._escaped = escaped
        self._brought = brought

    def __iter__(self) -> Iterator[Entry | Refused]:
        for record in self._rows:
            try:
                yield self._entry(record)
            except BadRecord as exc:
                yield Refused(record.line, str(exc))

    def _entry(self, record: Row) -> Entry:
        if record.problem:
            raise BadRecord(record.problem)
        for cell in record.cells:
            check_text(cell)
        cells = tuple(map(unquoted, record.cells)) if self._escaped else record.cells
        layout = self._layout
        has_own_id = any(cells[column.place] for column in layout.underscore_id)
        id_columns = layout.underscore_id if has_own_id else layout.id
        sku = cells[layout.sku.place] if layout.sku else ""
        key = _key(cells, id_columns)
        if key is None and not sku:
            raise BadRecord(NO_KEY)
        fields = (*layout.own_id, *layout.others) if has_own_id else layout.others
        return Entry(
            line=record.line,
            size=sum(map(len, cells)),
            id=key,
            sku=key_of_cell(sku) if sku else None,
            applied=partial(self._applied, record.line, cells, id_columns, fields),
        )

    def _applied(
        self,
        line: int,
        cells: tuple[str, ...],
        id_columns: tuple[Column, ...],
        fields: tuple[Column, ...],
        old: Document | None,
    ) -> Document:
        if old is not None:
            return _edited(old, cells, fields)
        id_ = _object(cells, id_columns).get(id_columns[0].path[0]) if _key(cells, id_columns) else ObjectId()
        document = {"_id": id_, **_object(cells, fields, self._brought.get(line, ()))}
        if id_columns is not self._layout.id and self._layout.id:
            document.setdefault("id", None)  # otherwise `_id` would be exported as `id`
        return document


def _key(cells: tuple[str, ...], columns: tuple[Column, ...]) -> Key | None:
    used = [column for column in columns if cells[column.place]]
    if not used:
        return None
    if [len(column.path) for column in used] == [1]:
        return key_of_cell(cells[used[0].place])
    value = _object(cells, columns)[used[0].path[0]]
    return Key(text(value), (value,))


def _object(cells: tuple[str, ...], columns: tuple[Column, ...], brought: Collection[str] = ()) -> Document:
    """A new object from the non-empty cells.

    The columns in `brought` come first. They are null if their cell is empty, unless a value is above or below.
    """
    document: Document = {}
    values = [column.path for column in columns if brought and cells[column.place]]
    for column in sorted(columns, key=lambda column: column.name not in brought) if brought else columns:
        if cell := cells[column.place]:
            _named(column, put, document, column.path, _named(column, new, cell, column.types))
        elif column.name in brought and not any(_is_in_the_way(path, column.path) for path in values):
            with suppress(BadRecord):  # another null is below it
                put(document, column.path, None)
    return document


def _is_in_the_way(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _edited(old: Document, cells: tuple[str, ...], columns: tuple[Column, ...]) -> Document:
    """The edited product; emptied values are removed first, so that they do not conflict with new ones."""
    document, values = dict(old), []
    for column in columns:
        cell, value = cells[column.place], at(old, column.path)
        present = None if value is MISSING else value
        if as_object(present) is not None:
            if cell:
                values.append((column, _named(column, new, cell, column.types)))
        elif shows(cell, present) or (not cell and present == {} and column.has_columns_below):
            continue
        elif not cell:
            drop(document, column.path)
        else:
            edited = _named(column, changed, cell, present, column.types)
            if text(edited) != text(present):  # otherwise only the spelling differs
                values.append((column, edited))
    for column, value in values:
        _named(column, put, document, column.path, value)
    return document


def _named(column: Column, call: Callable[..., Any], *args: Any) -> Any:
    """The call's result; its `BadRecord` gets the name of the column."""
    try:
        return call(*args)
    except BadRecord as exc:
        raise BadRecord(f"{column.name}: {exc}") from exc
