"""A tree of the keys found in documents: each dotted name is built, and its column decided, only once."""

from collections.abc import Sequence
from typing import Any

from bson import DBRef

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode.tally import UnforeseenColumn
from services.exporter.transcode.values import Document, as_object, escaped

IGNORED = -1
UNDECIDED = -2


class Node:
    """One key at one place: its dotted name (None: the document), the keys below it, and the column of its leaf."""

    __slots__ = ("below", "column", "name")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.below: dict[str, Node] = {}
        self.column = UNDECIDED

    def child(self, key: str) -> "Node":
        """The node of a key below this one."""
        node = self.below.get(key)
        if node is None:
            part = escaped(key)
            node = self.below[key] = Node(part if self.name is None else f"{self.name}.{part}")
        return node


class Names:
    """Assigns leaves to columns.

    Args:
        columns: the header; None: every accepted name is new (discovery, or JSON, which has no header).
        seen: collects the accepted names in first-seen order.
    """

    def __init__(self, sheet: str, columns: Sequence[str] | None, selection: Selection, seen: dict[str, None]) -> None:
        self._sheet = sheet
        self._columns = None if columns is None else {name: at for at, name in enumerate(columns)}
        self._selection = selection
        self._seen = seen
        # `_id` is exported as `id` unless the document has an `id`: with a tree for each case, no lookup has to check.
        self._plain, self._own_id = Node(None), Node(None)
        self._plain.below["_id"] = Node("id")

    def root(self, document: Document) -> Node:
        """The tree that names this document's keys."""
        return self._own_id if "id" in document else self._plain

    def decide(self, node: Node) -> int:
        """The column of a leaf that is seen for the first time, or `IGNORED`.

        Raises:
            UnforeseenColumn: the leaf is selected and the header does not have it.
        """
        if node.name is None or not self._selection.accepts(node.name):
            node.column = IGNORED
            return IGNORED
        if self._columns is None:
            column = 0
        elif node.name in self._columns:
            column = self._columns[node.name]
        else:
            raise UnforeseenColumn(self._sheet, node.name)
        self._seen.setdefault(node.name)
        node.column = column
        return column

    def note(self, document: Document, node: Node) -> None:
        """Decide on every leaf of a document without writing it."""
        for key, value in document.items():
            below = node.below.get(key) or node.child(key)
            inner = as_object(value)
            if inner is not None:
                self.note(dict(inner), below)
            elif below.column == UNDECIDED:
                self.decide(below)

    def fill(self, row: list[Any], document: Document, node: Node) -> None:
        """Put every leaf of a document into its column in `row`."""
        for key, value in document.items():
            below = node.below.get(key) or node.child(key)
            kind = value.__class__
            if kind is dict and value:
                self.fill(row, value, below)
                continue
            if kind is DBRef:
                self.fill(row, dict(value.as_doc()), below)
                continue
            column = below.column
            if column == UNDECIDED:
                column = self.decide(below)
            if column != IGNORED:
                row[column] = value
