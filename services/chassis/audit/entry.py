"""What is recorded of a change: one entry before it is made, and one with its result. Pure.

Both are inserted and never changed. An entry holds names of fields, never their values.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.chassis.faults import Fault, Kind

MAX_FIELDS = 100
MAX_TEXT = 128
"""Characters of a text that a caller chose."""
_KEY_ID = re.compile(r"[0-9a-f]{12}")
_END = "/end"


class Result(StrEnum):
    """How an operation ended."""

    OK = "ok"
    REFUSED = "refused"
    """The caller's fault; nothing was changed."""
    FAILED = "failed"
    """A fault of the system; the change may have been made."""
    UNKNOWN = "unknown"
    """Never stored: no result was recorded. The operation is running, or its process ended; it may have succeeded."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a call does.

    Args:
        name: `<resource>.<verb>`.
        ids: the fields of the request with ids of resources, `<type>_id`; the first is the one that is changed.
    """

    name: str
    ids: tuple[str, ...]

    @property
    def resource(self) -> str:
        """The type of the resource that is changed."""
        return self.name.partition(".")[0]

    @property
    def creates(self) -> bool:
        """Whether the resource is new."""
        return self.name.endswith(".create")


@dataclass(frozen=True, slots=True)
class Resource:
    """A job, platform, schedule, delivery or key."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an operation comes from.

    Args:
        caller: the service that calls: `gateway`, `scheduler`, or the name in another client's certificate.
        key_id: of the API key; empty without one.
        address: of the client; empty when it is not known.
    """

    caller: str
    request_id: str
    key_id: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation. `result` is None before it is made.

    Args:
        id: of the operation.
        at: when it began.
        resources: the one that is changed first; others that the request names.
        fields: names of the request's fields.
        code: of the fault; empty for `Result.OK`.
    """

    id: str
    at: datetime
    tenant: str
    action: str
    origin: Origin
    resources: tuple[Resource, ...] = ()
    fields: tuple[str, ...] = ()
    result: Result | None = None
    code: str = ""
    ended_at: datetime | None = None

    def ended(self, result: Result, code: str, at: datetime, fields: Iterable[str] = ()) -> "Entry":
        """The entry with the result; more may be known of the fields now."""
        named = tuple(fields) or self.fields
        return replace(self, result=result, code=code, ended_at=at, fields=named[:MAX_FIELDS])


def resources_of(ids: Iterable[tuple[str, str]]) -> tuple[Resource, ...]:
    """Resources from pairs of type and id. A text that cannot be an id is left out: it may be anything."""
    return tuple(Resource(kind, text) for kind, text in ids if _is_id(kind, text))


def result_of(error: Exception) -> tuple[Result, str]:
    """Result and code of an operation that ended with this error."""
    if not isinstance(error, Fault):
        return Result.FAILED, "internal"
    failed = error.kind in (Kind.UNAVAILABLE, Kind.INTERNAL)
    return (Result.FAILED if failed else Result.REFUSED), error.code


def to_document(entry: Entry, *, is_end: bool = False) -> dict[str, Any]:
    """An entry as it is stored.

    `begins` marks one document of each operation. With `is_end`, the operation has another document already.
    """
    origin = entry.origin
    found: dict[str, Any] = {
        "_id": entry.id + (_END if is_end else ""),
        "at": entry.at,
        "tenant": entry.tenant[:MAX_TEXT],
        "action": entry.action,
        "resources": [{"type": one.type, "id": one.id} for one in entry.resources],
        "fields": list(entry.fields),
        "caller": origin.caller[:MAX_TEXT],
        "key_id": origin.key_id[:MAX_TEXT],
        "address": origin.address[:MAX_TEXT],
        "request_id": origin.request_id[:MAX_TEXT],
    }
    if not is_end:
        found["begins"] = True
    if entry.result is not None:
        found |= {"result": entry.result.value, "code": entry.code[:MAX_TEXT], "ended_at": entry.ended_at}
    return found


def from_document(document: Mapping[str, Any]) -> Entry:
    """A stored entry."""
    result = document.get("result")
    return Entry(
        id=document["_id"].removesuffix(_END),
        at=document["at"],
        tenant=document["tenant"],
        action=document["action"],
        origin=Origin(document["caller"], document["request_id"], document["key_id"], document["address"]),
        resources=tuple(Resource(one["type"], one["id"]) for one in document["resources"]),
        fields=tuple(document["fields"]),
        result=None if result is None else Result(result),
        code=document.get("code", ""),
        ended_at=document.get("ended_at"),
    )


def end_id(operation: str) -> str:
    """The `_id` of an operation's second document."""
    return operation + _END


def _is_id(kind: str, text: str) -> bool:
    if kind == "key":
        return _KEY_ID.fullmatch(text) is not None
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
