"""Chooses what of a nested document is exported as JSON: the fields asked for, in the order asked for, nesting kept."""

from collections.abc import Mapping
from typing import Any

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode.values import as_object, escaped, parts

Path = tuple[str, ...]


class Chooser:
    """Applies a selection to documents whose `_id` is already called `id`."""

    def __init__(self, selection: Selection) -> None:
        self._include = None if selection.include is None else [tuple(parts(name)) for name in selection.include]
        self._exclude = frozenset(selection.exclude)

    def __call__(self, document: dict[str, Any]) -> Mapping[str, Any]:
        """The chosen part of a document; the document itself when everything is."""
        if self._include is not None:
            chosen: dict[str, Any] = {}
            for path in self._include:
                _copy(document, path, chosen)
            return chosen
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
    """Put what lies at `path` into `target`, after what is there; nothing when it is not there.

    `target` may come to share objects with `source`; putting those in once more changes nothing.
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
    if not isinstance(below, dict):  # a DBRef that is there as a whole
        return
    for wanted in [tuple(rest)] if rest else [(name,) for name in inner]:
        _copy(inner, wanted, below)
    if below:
        target[key] = below
