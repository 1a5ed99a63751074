"""What every request is checked for before a service sees it: it can be decoded, and its ids are canonical UUIDs."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from services.chassis.faults import BadRequest, Fault, Kind, Violation

REQUIRED = "tenant"
PREVIOUS_ATTEMPTS = "grpc-previous-rpc-attempts"
"""Of gRPC's retries (gRFC A6): how often the caller's channel has sent this call before."""
Number = TypeVar("Number", bound=int)
Value = TypeVar("Value")


def canonical_id(text: str) -> str:
    """A UUID in its canonical form; any other text unchanged, since it is the id of nothing."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text


def chosen_id(text: str, field: str) -> str:
    """The id that a caller chose for something new, in canonical form; a new one if it chose none.

    Raises:
        BadRequest: it is not a UUID; names `field`.
    """
    try:
        return str(uuid.UUID(text) if text else uuid.uuid4())
    except ValueError as exc:
        raise BadRequest([Violation(field, "is not a UUID")]) from exc


def known_values(values: Iterable[Number], known: Mapping[Number, Value], field: str, what: str) -> list[Value]:
    """The values that the numbers of an enum stand for.

    Raises:
        BadRequest: a number is not `what`; names `field`.
    """
    chosen = list(values)
    if unknown := [str(value) for value in chosen if value not in known]:
        raise BadRequest([Violation(field, f"{', '.join(unknown)} is not {what}")])
    return [known[value] for value in chosen]


def is_repeat(context: Any) -> bool:
    """Whether the channel of the caller repeats a call because it got no answer: its first attempt may have succeeded.

    A change that is found to be made already is then answered like the first attempt, and not as an error.
    """
    return any(name == PREVIOUS_ATTEMPTS for name, _ in context.invocation_metadata() or ())


@contextmanager
def missing_is_deleted(context: Any) -> Iterator[None]:
    """Ignore that something to be deleted does not exist, if this call is a repeat."""
    try:
        yield
    except Fault as fault:
        if fault.kind is not Kind.NOT_FOUND or not is_repeat(context):
            raise


def decoder(decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """`decode` with None for malformed bytes: grpcio answers an exception here with UNKNOWN and its Python text.

    A decoder that translates requests may return a fault instead of raising it.
    """

    def read(data: bytes) -> Any:
        try:
            return decode(data) if decode is not None else data
        except DecodeError:
            return None

    return read


def checked(request: Message | Fault | None) -> Message:
    """The request with the UUIDs in its `*_id` fields in canonical form.

    Raises:
        Fault: INVALID, for malformed bytes, and for a tenant that is empty.
    """
    if isinstance(request, Fault):
        raise request
    if request is None:
        raise Fault("malformed_request", "The request is not a valid protobuf message.", kind=Kind.INVALID)
    for name in _string_fields(request.DESCRIPTOR):
        value = getattr(request, name)
        if name == REQUIRED and not value:
            raise BadRequest([Violation(name, "must not be empty")])
        if value and name.endswith("_id"):
            setattr(request, name, canonical_id(value))
    return request


@cache
def _string_fields(descriptor: Descriptor) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in descriptor.fields
        if field.type == FieldDescriptor.TYPE_STRING and (field.name == REQUIRED or field.name.endswith("_id"))
    )
