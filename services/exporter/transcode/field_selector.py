"""Selects the parts of a nested document that are exported as JSON, in the requested order, keeping the nesting."""

from collections.abc import Mapping
from typing import Any

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode.values import as_object, escaped, parts

Path = tuple[str, ...]


class FieldSelector:
    """Applies a selection to documents whose `_id` has already been renamed to `id`."""

    def __init__(self, selection: Selection) -> None:
        self._include = None if selection.include is None else [tuple(parts(name)) for name in selection.include]
        self._exclude = frozenset(selection.exclude)

    def __call__(self, document: dict[str, Any]) -> Mapping[str, Any]:
        """The selected part of a document; the document itself when everything is selected."""
        if self._include is not None:
            selected: dict[str, Any] = {}
            for path in self._include:
                _copy(document, path, selected)
            return selected
        return self._without(document, "") if self._exclude else document

    def _without(self, value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, below in value.items():
            name = prefix + escaped(key)
            if name in self._exclude:
                continue
            inner = as_object(below)
            if inner is None:
                kept[key] = below
            elif rest := self._without(inner, name + "."):
                kept[key] = rest
        return kept


def _copy(source: Mapping[str, Any], path: Path, target: dict[str, Any]) -> None:
    """Append the value at `path` to `target`; do nothing if the source has no such path.

    `target` may share objects with `source`: copying such an object again changes nothing.
    """
    key, *rest = path
    if key not in source:
        return
    inner = as_object(source[key])
    if inner is None:
        if not rest:
            target[key] = source[key]
        return
    if not rest and key not in target:
        target[key] = source[key]
        return
    below = target.get(key, {})
    if not isinstance(below, dict):  # a DBRef that was already copied whole
        return
    for wanted in [tuple(rest)] if rest else [(name,) for name in inner]:
        _copy(inner, wanted, below)
    if below:
        target[key] = below
