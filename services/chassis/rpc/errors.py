"""Converts faults to and from google.rpc.Status with ErrorInfo, BadRequest and RetryInfo (AIP-193)."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import Sequence
from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.chassis.faults import Fault, Kind, Unavailable, Violation

DOMAIN = "exports.catalog"

CODES: dict[Kind, grpc.StatusCode] = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.OUTDATED: grpc.StatusCode.ABORTED,
    Kind.MISMATCH: grpc.StatusCode.ALREADY_EXISTS,
    Kind.GONE: grpc.StatusCode.NOT_FOUND,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.INTERNAL: grpc.StatusCode.INTERNAL,
}
# For a peer whose ErrorInfo has no kind.
KINDS = {code: kind for kind, code in CODES.items() if kind is not Kind.GONE}
# What grpcio reports when the peer is down, restarting or too slow.
UNAVAILABLE_CODES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}

# By default, clients reject metadata of more than 8 KiB. The message is sent twice, once with three bytes for each
# byte that is not ASCII, and the details once, in base64.
MAX_MESSAGE_BYTES = 1_000
MAX_VIOLATIONS_BYTES = 2_500


def to_status(fault: Fault) -> status_pb2.Status:
    """The google.rpc.Status of a fault, cut to what fits into a call's metadata."""
    details: list[any_pb2.Any] = []

    def add(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo) -> None:
        packed = any_pb2.Any()
        packed.Pack(message)
        details.append(packed)

    add(error_details_pb2.ErrorInfo(reason=fault.code, domain=DOMAIN, metadata={"kind": fault.kind.value}))
    if fault.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.message)
            for v in _fitting(fault.violations)
        ]
        add(error_details_pb2.BadRequest(field_violations=fields))
    if fault.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(fault.retry_after * 1000))
        add(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=CODES[fault.kind].value[0], message=_cut(fault.message, MAX_MESSAGE_BYTES), details=details
    )


def _cut(text: str, limit: int) -> str:
    """The text in at most `limit` bytes of UTF-8; what cannot be encoded becomes `?`."""
    encoded = text.encode(errors="replace")
    return encoded.decode() if len(encoded) <= limit else encoded[: limit - 3].decode(errors="ignore") + "…"


def _fitting(violations: Sequence[Violation]) -> list[Violation]:
    """The first violations, as many as fit, and how many were omitted."""
    kept: list[Violation] = []
    left = MAX_VIOLATIONS_BYTES
    for violation in violations:
        short = Violation(_cut(violation.field, 300), _cut(violation.message, 1_000))
        left -= len(short.field.encode()) + len(short.message.encode()) + 8
        if left < 0:
            kept.append(Violation(kept[-1].field, f"… and {len(violations) - len(kept)} more like these"))
            break
        kept.append(short)
    return kept


async def abort(context: grpc.aio.ServicerContext, fault: Fault) -> NoReturn:  # type: ignore[type-arg]
    """End the call with the fault's status and details."""
    status = rpc_status.to_status(to_status(fault))
    await context.abort(status.code, status.details, tuple(status.trailing_metadata))
    raise AssertionError("abort returned")


def from_error(error: grpc.aio.AioRpcError, service: str) -> Fault:
    """The fault of a failed call; a peer that does not answer becomes `Unavailable` and names `service`."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status is not None else ():
        for message in (info, bad, retry):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    if not info.reason:
        return _bare(error, service)
    return Fault(
        info.reason,
        error.details() or info.reason,
        violations=[Violation(v.field, v.description) for v in bad.field_violations],
        retry_after=retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
        kind=_kind(info.metadata["kind"], error.code()),
    )


def _kind(name: str, code: grpc.StatusCode) -> Kind:
    try:
        return Kind(name)
    except ValueError:
        return KINDS.get(code, Kind.INTERNAL)


def _bare(error: grpc.aio.AioRpcError, service: str) -> Fault:
    if error.code() in UNAVAILABLE_CODES:
        return Unavailable(f"{service}_unavailable", f"The {service} service does not answer; try again shortly.")
    return Fault("internal", f"The {service} service failed; the request id leads to its log.")
