"""Reads and changes a leaf of a document by its path; the original of a copied document is not modified."""

from collections.abc import Mapping, Sequence
from typing import Any

from loader.errors import BadRecord
from services.exporter.transcode.values import Document, as_object

MISSING = object()


def at(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at the path, or `MISSING`; paths do not lead into lists."""
    value: Any = document
    for key in path:
        inner = as_object(value) or {}
        if key not in inner:
            return MISSING
        value = inner[key]
    return value


def put(document: Document, path: Sequence[str], value: Any) -> None:
    """Set the leaf at the path; parent objects are copied, and created where there is nothing or null.

    Raises:
        BadRecord: a parent is not an object, or there is a non-empty object at the path.
    """
    *parents, last = path
    for key in parents:
        present = document.get(key)
        inner = as_object(present)
        if inner is None and present not in (None, {}):
            raise BadRecord(f"{key!r} holds a value; remove it before you set a field below it")
        copy: Document = dict(inner or {})
        document[key] = copy
        document = copy
    if as_object(document.get(last)) is None:
        document[last] = value
    elif value != {}:
        raise BadRecord("there are fields below it; remove them first")


def drop(document: Document, path: Sequence[str]) -> None:
    """Remove the leaf at the path, and parent objects that become empty."""
    key, *rest = path
    inner = dict(as_object(document.get(key)) or {}) if rest else {}
    if rest:
        drop(inner, rest)
    if inner:
        document[key] = inner
    else:
        document.pop(key, None)
