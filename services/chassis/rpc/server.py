"""A gRPC server: health, reflection, mTLS, rules for callers, errors as google.rpc.Status, metrics, draining."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import structlog
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import Histogram

from services.chassis.faults import Fault, Kind
from services.chassis.rpc import errors as rpc_errors
from services.chassis.rpc import requests
from services.chassis.rpc import tracing as rpc_tracing
from services.chassis.rpc.callers import UNAUTHENTICATED, Callers
from services.chassis.rpc.health import HealthServicer
from services.chassis.rpc.tls import Certificates
from services.chassis.settings import RpcSettings
from services.chassis.telemetry import request_context

log = structlog.get_logger()

CALLS = Histogram("rpc_server_seconds", "Duration of gRPC calls handled, by method and status.", ["method", "code"])

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # a port in use must be an error, and not be shared
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Connections are renewed, so that new replicas get their share of the calls.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
]


Check = Callable[[Message | None], Message]
"""Returns a request that may be carried out, or raises a fault; None is a request that cannot be decoded."""


class Recorder(Protocol):
    """Records the calls that change something (`audit.calls`)."""

    async def call(
        self,
        method: str,
        metadata: Mapping[str, str],
        request: Message | None,
        check: Check,
        handle: Callable[[Message], Awaitable[Any]],
    ) -> Any:
        """The answer of `handle` to the request that `check` returns."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Binds request id and caller, checks both caller and request, measures, and translates exceptions to statuses.

    Args:
        callers: who may call what; None without TLS, where everyone may.
    """

    def __init__(self, callers: Callers | None, recorder: Recorder) -> None:
        self._callers = callers
        self._recorder = recorder

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not rpc_tracing.is_traced(method):
            return handler
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, method),
                request_deserializer=requests.decoder(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method),
                request_deserializer=requests.decoder(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        raise TypeError(f"{method} has a request stream, whose caller and requests nobody would check")

    def _unary(self, handle: Any, method: str) -> Any:
        async def call(request: Any, context: Any) -> Any:
            async with self._measured(method, context) as (metadata, check):
                return await self._recorder.call(
                    method, metadata, request, check, lambda checked: handle(checked, context)
                )

        return call

    def _stream(self, handle: Any, method: str) -> Any:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._measured(method, context) as (_, check):
                async for answer in handle(check(request), context):
                    yield answer

        return call

    @asynccontextmanager
    async def _measured(self, method: str, context: Any) -> AsyncIterator[tuple[dict[str, str], Check]]:
        """The span and the measurement of a call, with its metadata and what checks its caller and request."""
        metadata = dict(context.invocation_metadata() or ())
        caller = UNAUTHENTICATED if self._callers is None else self._callers.identify(context)
        request_context.begin(metadata.get(request_context.HEADER), caller=caller)

        def check(request: Message | None) -> Message:
            if self._callers is not None:
                self._callers.check(caller, method, request)
            return requests.checked(request)

        with rpc_tracing.serving(method, metadata):
            async with _measured(method, context):
                yield metadata, check


@asynccontextmanager
async def _measured(method: str, context: Any) -> AsyncIterator[None]:
    started = time.monotonic()
    code = "OK"
    try:
        yield
    except Fault as fault:
        code = rpc_errors.CODES[fault.kind].name
        if fault.kind in (Kind.INTERNAL, Kind.UNAVAILABLE):
            log.warning("call_failed", action=method, code=fault.code, reason=repr(fault.__cause__ or fault)[:500])
        await rpc_errors.abort(context, fault)
    except asyncio.CancelledError:  # the caller left, or its deadline passed
        code = "CANCELLED"
        raise
    except Exception:
        code = "INTERNAL"
        log.exception("call_failed", action=method)
        await rpc_errors.abort(context, Fault("internal", "The service failed; the request id leads to its log."))
    finally:
        rpc_tracing.answered(code)
        CALLS.labels(method.rsplit("/", 1)[-1], code).observe(time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports a server listens on; `health` is None when health is served on `rpc` only."""

    rpc: int
    health: int | None


@asynccontextmanager
async def serving(
    settings: RpcSettings,
    register: Callable[[grpc.aio.Server], None],
    services: Sequence[str],
    *,
    ready: Callable[[], Awaitable[bool]],
    certificates: Certificates | None,
    callers: Callers,
    recorder: Recorder,
) -> AsyncIterator[Ports]:
    """Serve what `register` adds; only to `callers` with a certificate, or to everyone if `certificates` is None.

    Health is SERVING for "" and each name in `services` while `ready` returns True, and always for `liveness`. On
    leaving, health is NOT_SERVING for `shutdown_notice` seconds while calls are still accepted; then running calls get
    `shutdown_grace` seconds.

    Raises:
        OSError: an address cannot be bound.
    """
    checks = HealthServicer(ready, frozenset(["", *services]))
    interceptor = CallInterceptor(callers if certificates is not None else None, recorder)
    server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    register(server)
    if settings.grpc_reflection:
        reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    bound = _bound(server, settings.grpc_host, settings.grpc_port, certificates)
    async with _health_listening(settings, checks) as health_port:
        await server.start()
        log.info("listening", action="start", rpc=f"{settings.grpc_host}:{bound}", tls=certificates is not None)
        try:
            yield Ports(bound, health_port)
        finally:
            checks.drain()
            try:
                await asyncio.sleep(settings.shutdown_notice)
            finally:
                await server.stop(settings.shutdown_grace)


@asynccontextmanager
async def _health_listening(settings: RpcSettings, checks: HealthServicer) -> AsyncIterator[int | None]:
    """The health service on its own port, for probes without TLS, if one is configured."""
    if settings.health_port is None:
        yield None
        return
    server = grpc.aio.server(options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    bound = _bound(server, settings.grpc_host, settings.health_port, None)
    await server.start()
    log.info("listening", action="start", health=f"{settings.grpc_host}:{bound}")
    try:
        yield bound
    finally:
        await server.stop(None)


def _bound(server: grpc.aio.Server, host: str, port: int, certificates: Certificates | None) -> int:
    try:
        if certificates is None:
            return server.add_insecure_port(f"{host}:{port}")
        return server.add_secure_port(f"{host}:{port}", certificates.server_credentials())
    except RuntimeError as exc:
        raise OSError(f"gRPC cannot listen on {host}:{port}; is the port taken?") from exc
