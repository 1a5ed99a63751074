"""A fault over gRPC and back: nothing that a caller needs is lost, and it fits into a call's metadata."""

import base64

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from grpc_status import rpc_status

from services.chassis.faults import Fault, Kind, Unavailable, Violation
from services.chassis.rpc.errors import from_error, to_status

METADATA_LIMIT = 8 * 1024
"""What grpc takes unless it is told otherwise."""


def failed(fault: Fault) -> AioRpcError:
    """The error a caller sees when a service answers this fault."""
    status = rpc_status.to_status(to_status(fault))
    return AioRpcError(status.code, Metadata(), Metadata(*status.trailing_metadata), status.details)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_comes_back_as_itself(kind: Kind) -> None:
    back = from_error(failed(Fault("some_code", "Words.", kind=kind)), "exporter")
    assert (back.kind, back.code, back.message) == (kind, "some_code", "Words.")


def test_fields_and_time_to_wait_come_back() -> None:
    violations = [Violation("filters.price", "is no number"), Violation("délimiteur", "ist „falsch“ 🧺")]
    fault = Fault("invalid_request", "Two fields.", violations=violations, retry_after=1.5, kind=Kind.INVALID)
    back = from_error(failed(fault), "exporter")
    assert (list(back.violations), back.retry_after) == (violations, 1.5)


@pytest.mark.parametrize("letter", ["a", "é", "価", "🧺", "\ud800"])
def test_long_faults_fit_into_metadata(letter: str) -> None:
    many = [Violation(f"{letter * 500}{n}", letter * 5_000) for n in range(2_000)]
    fault = Fault("invalid_request", letter * 5_000, violations=many, retry_after=1.0, kind=Kind.INVALID)
    error = failed(fault)
    binary = sum(len(base64.b64encode(value)) for _, value in error.trailing_metadata() if isinstance(value, bytes))
    words = sum(1 if 32 <= byte < 127 else 3 for byte in (error.details() or "").encode())
    assert 2_000 < binary + words < METADATA_LIMIT - 500
    back = from_error(error, "exporter")
    assert 2 <= len(back.violations) < 50
    assert back.violations[-1].message.endswith("more like these")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_a_peer_that_is_away_is_named(code: grpc.StatusCode) -> None:
    back = from_error(AioRpcError(code, Metadata(), Metadata(), "failed to connect to 10.0.0.1"), "exporter")
    assert isinstance(back, Unavailable)
    assert back.code == "exporter_unavailable"
    assert "10.0.0.1" not in back.message


def test_an_error_without_details_is_internal() -> None:
    back = from_error(AioRpcError(grpc.StatusCode.UNKNOWN, Metadata(), Metadata(), "KeyError: 'x'"), "exporter")
    assert (back.kind, back.code) == (Kind.INTERNAL, "internal")
    assert "KeyError" not in back.message
