"""gRPC channels: round_robin over a headless service, fast reconnects, mTLS, a deadline on every call."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import grpc

from services.chassis.faults import Fault, Kind
from services.chassis.rpc import origin
from services.chassis.rpc import tracing as rpc_tracing
from services.chassis.rpc.errors import from_error
from services.chassis.rpc.renewed_channel import RenewedChannel
from services.chassis.rpc.tls import Certificates, Identity
from services.chassis.telemetry import request_context

Answer = TypeVar("Answer")

# Every call may be retried: callers choose the ids, every change is a compare-and-set, and a repeated cancel, retry or
# delete is answered like the first (`requests.is_repeat`).
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A restarted peer is found within two seconds; the default limit is two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # Servers allow a ping every 10 s (rpc.server); they answer more frequent ones with GOAWAY.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]


@asynccontextmanager
async def channel(address: str, certificates: Certificates | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to `host:port` or `dns:///headless-service:port`, closed on leaving.

    Args:
        certificates: for mTLS; the server's must be valid for the host of `address`. None: no TLS.
    """
    target = address if "://" in address else f"dns:///{address}"
    spans = rpc_tracing.interceptors()

    def connect(identity: Identity) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, identity.channel_credentials(), options=_OPTIONS, interceptors=spans)

    opened = (
        grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=spans)
        if certificates is None
        else cast(grpc.aio.Channel, RenewedChannel(connect, certificates))  # it offers what stubs use
    )
    try:
        yield opened
    finally:
        await opened.close()


class Caller:
    """Calls one service: adds the deadline and the request id, and translates errors to faults.

    Args:
        service: the peer's name, for codes such as `exporter_unavailable`.
        deadline: seconds a unary call may take.
        name: of this process, for the audit log of a service without TLS.
    """

    def __init__(self, service: str, *, deadline: float, name: str = "") -> None:
        self._service = service
        self._deadline = deadline
        self._name = name

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Any, Answer], request: object, *, deadline: float | None = None
    ) -> Answer:
        """The answer of a unary method.

        Raises:
            Fault: the service's answer, or `Unavailable` if there was none.
        """
        metadata = ((request_context.HEADER, request_context.current()), *origin.metadata(self._name))
        try:
            return await method(request, timeout=deadline or self._deadline, metadata=metadata)
        except grpc.aio.AioRpcError as exc:
            raise from_error(exc, self._service) from exc

    async def find(self, method: grpc.aio.UnaryUnaryMultiCallable[Any, Answer], request: object) -> Answer | None:
        """The same, but None where the service answers that it does not exist."""
        try:
            return await self.call(method, request)
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return None
            raise
