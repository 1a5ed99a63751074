"""A tree of the keys found in documents: each dotted name is built, and its column decided, only once."""

from collections.abc import Sequence
from typing import Any

from bson import DBRef

from services.exporter.catalogue.columns import Selection, parents_of
from services.exporter.transcode.tally import UnforeseenColumn
from services.exporter.transcode.values import Document, as_object, escaped, parts

IGNORED = -1
UNDECIDED = -2


class Node:
    """One key at one place: its dotted name, the keys below it, and its column.

    `column` is for values, `column_of_empty` for empty objects. `prefix` begins the names below. `whole`: an object
    here is a value too.
    """

    __slots__ = ("below", "column", "column_of_empty", "name", "prefix", "whole")

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self.prefix = prefix
        self.below: dict[str, Node] = {}
        self.column = self.column_of_empty = UNDECIDED
        self.whole = False

    def child(self, key: str) -> "Node":
        """The node of a key below this one."""
        node = self.below.get(key)
        if node is None:
            name = self.prefix + escaped(key)
            node = self.below[key] = Node(name, f"{name}.")
        return node


class Names:
    """Assigns leaves to columns.

    Args:
        columns: the header; None: every accepted name is new (discovery, or JSON, which has no header).
        seen: collects the accepted names in first-seen order; False: only empty objects were found there.
    """

    def __init__(self, sheet: str, columns: Sequence[str] | None, selection: Selection, seen: dict[str, bool]) -> None:
        self._sheet = sheet
        self._columns = None if columns is None else {name: at for at, name in enumerate(columns)}
        self._parents: frozenset[str] | None = None
        self._selection = selection
        self._seen = seen
        # `_id` is exported as `id` unless the document has an `id`: with a tree for each case, no lookup has to check.
        self._plain, self._own_id = Node("", ""), Node("", "")
        self._plain.below["_id"] = Node("id", "id.")
        for name in selection.output.whole if selection.output is not None else ():
            first, *rest = parts(name)
            self._mark_whole(self._own_id, [first, *rest])
            self._mark_whole(self._plain, ["_id" if first == "id" else first, *rest])

    def _mark_whole(self, node: Node, keys: Sequence[str]) -> None:
        for key in keys:
            node = node.child(key)
        node.whole = True

    def root(self, document: Document) -> Node:
        """The tree that names this document's keys."""
        return self._own_id if "id" in document else self._plain

    def decide(self, node: Node) -> int:
        """The column of a value at a place that has none so far, or `IGNORED`.

        Raises:
            UnforeseenColumn: the place is selected and the header does not have it.
        """
        column = self._column(node.name)
        if column is None:
            raise UnforeseenColumn(self._sheet, node.name)
        if column != IGNORED:
            self._seen[node.name] = True
        node.column = column
        return column

    def decide_empty(self, node: Node) -> int:
        """The same for an empty object, which is not written if the header has columns below it."""
        is_above = self._is_above_columns(node.name)
        column = self._column(node.name)
        if column is None and not is_above:
            raise UnforeseenColumn(self._sheet, node.name)
        if column != IGNORED:
            self._seen.setdefault(node.name, False)
        node.column_of_empty = IGNORED if column is None or is_above else column
        return node.column_of_empty

    def _is_above_columns(self, name: str) -> bool:
        if self._parents is None:
            self._parents = parents_of(self._columns or ())
        return name in self._parents

    def _column(self, name: str) -> int | None:
        """The column with this name, None if the header does not have it, or `IGNORED` if it is not selected."""
        if not self._selection.accepts(name):
            return IGNORED
        return 0 if self._columns is None else self._columns.get(name)

    def note(self, document: Document, node: Node) -> None:
        """Decide on every leaf of a document without writing it."""
        for key, value in document.items():
            below = node.below.get(key) or node.child(key)
            inner = as_object(value)
            if inner is not None:
                if below.whole and below.column == UNDECIDED:
                    self.decide(below)
                self.note(dict(inner), below)
            elif value.__class__ is dict:
                if below.column_of_empty == UNDECIDED:
                    self.decide_empty(below)
            elif below.column == UNDECIDED:
                self.decide(below)

    def fill(self, row: list[Any], document: Document, node: Node) -> None:
        """Put every leaf of a document into its column in `row`."""
        for key, value in document.items():
            below = node.below.get(key) or node.child(key)
            kind = value.__class__
            if kind is dict:
                if value:
                    self._fill_object(row, value, below)
                    continue
                column = below.column_of_empty
                if column == UNDECIDED:
                    column = self.decide_empty(below)
            elif kind is DBRef:
                self._fill_object(row, dict(value.as_doc()), below)
                continue
            else:
                column = below.column
                if column == UNDECIDED:
                    column = self.decide(below)
            if column != IGNORED:
                row[column] = value

    def _fill_object(self, row: list[Any], value: Document, node: Node) -> None:
        if node.whole:
            row[self.decide(node) if node.column == UNDECIDED else node.column] = value
        self.fill(row, value, node)
