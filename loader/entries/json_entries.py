"""Entries from JSON: fields are merged into the product's, and types that JSON does not have are kept."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, TextIO

from bson import ObjectId

from loader.entries.entry import NO_KEY, Entry, Refused
from loader.errors import BadRecord
from loader.files.json_records import JsonRecord, json_records
from loader.files.text_file import check_text
from loader.values.identity import id_value, key_of
from loader.values.json_values import document
from loader.values.kinds import NUMBERS, Kind, kind_of
from loader.values.paths import MISSING
from loader.values.readers import read
from services.exporter.transcode.values import Document, as_object, json_text, text

_TEXT_IN_JSON = {Kind.OBJECT_ID, Kind.UUID, Kind.BINARY}


def json_entries(source: TextIO) -> Iterator[Entry | Refused]:
    """An entry for every document of the file.

    Raises:
        BadFile: the file cannot be split into documents.
    """
    for record in json_records(source):
        try:
            yield _entry(record)
        except BadRecord as exc:
            yield Refused(record.line, str(exc))


def _entry(record: JsonRecord) -> Entry:
    check_text(record.text)
    found = document(record.text)
    key = found.pop("_id") if "_id" in found else found.pop("id", None)
    sku = found.get("sku")
    if key is None and sku in (None, ""):
        raise BadRecord(NO_KEY)
    return Entry(
        line=record.line,
        size=len(record.text),
        id=None if key is None else key_of(key, json_text),
        sku=None if sku in (None, "") else key_of(sku, json_text),
        applied=partial(_applied, found, key),
    )


def _applied(fields: Document, key: Any, old: Document | None) -> Document:
    if old is None:
        return {"_id": ObjectId() if key is None else id_value(key), **fields}
    return merged(old, fields)


def merged(old: Document, fields: Document) -> Document:
    """The old object with these fields: objects are merged key by key, everything else is replaced."""
    return {**old, **{key: _changed(old.get(key, MISSING), value) for key, value in fields.items()}}


def _changed(old: Any, value: Any) -> Any:
    if old is MISSING or old is None or value is None:
        return value
    inner = as_object(old)
    if inner is not None and isinstance(value, dict) and value:
        result: Any = merged(dict(inner), value)
    elif isinstance(old, list) and isinstance(value, list):
        result = [_item(old, item) for item in value]
    else:
        result = typed(old, value)
    return old if json_text(result) == json_text(old) else result


def _item(old: list[Any], value: Any) -> Any:
    """The item of the old list that is written like the value, else the value with the type of the items."""
    shown = json_text(value)
    same = [item for item in old if json_text(item) == shown]
    return same[0] if same else typed(old[0], value) if old else value


def typed(old: Any, value: Any) -> Any:
    """The value with the type of the old one, if JSON writes both types alike: numbers, and ids and bytes as text."""
    if old is None or value is None:
        return value
    own, kind = kind_of(old), kind_of(value)
    if own in NUMBERS and kind in NUMBERS:
        if Decimal(text(value)) == Decimal(text(old)):
            return old
    elif own not in _TEXT_IN_JSON or kind is not Kind.TEXT:
        return value
    try:
        return read(text(value), own, old)
    except ValueError:
        return value
