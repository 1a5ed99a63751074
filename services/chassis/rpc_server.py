"""A gRPC server with health, reflection, errors as google.rpc.Status, metrics and a drain before it stops."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import Histogram

from services.chassis import request_context, rpc_errors
from services.chassis.faults import Fault, Kind

log = structlog.get_logger()

CALLS = Histogram("rpc_server_seconds", "Duration of gRPC calls handled, by method and status.", ["method", "code"])

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # a port that is taken must be an error, not shared
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Connections are renewed, so that calls spread over replicas that came later.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
]


class FaultInterceptor(grpc.aio.ServerInterceptor):
    """Binds the request id, counts and times each call, and turns exceptions into statuses."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith("/grpc."):
            return handler
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler


def _unary(handle: Any, method: str) -> Any:
    async def call(request: Any, context: Any) -> Any:
        async with _guarded(method, context):
            return await handle(request, context)

    return call


def _stream(handle: Any, method: str) -> Any:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        async with _guarded(method, context):
            async for answer in handle(request, context):
                yield answer

    return call


@asynccontextmanager
async def _guarded(method: str, context: Any) -> AsyncIterator[None]:
    metadata = dict(context.invocation_metadata() or ())
    request_context.begin(metadata.get(request_context.HEADER))
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
        CALLS.labels(method.rsplit("/", 1)[-1], code).observe(time.monotonic() - started)


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    register: Callable[[grpc.aio.Server], None],
    services: Sequence[str],
    *,
    ready: Callable[[], Awaitable[bool]],
    grace: float,
    notice: float = 0.0,
) -> AsyncIterator[int]:
    """Serve what `register` adds; yields the bound port.

    Health answers SERVING for "" and each name in `services` while `ready` holds (asked at every check). On leaving it
    answers NOT_SERVING for `notice` seconds while calls are still taken; then calls under way have `grace` seconds.

    Raises:
        OSError: the address cannot be bound.
    """
    server = grpc.aio.server(interceptors=[FaultInterceptor()], options=_OPTIONS)
    checks = ReadinessServicer(ready, frozenset(["", *services]))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    register(server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as exc:
        raise OSError(f"gRPC cannot listen on {host}:{port}; is the port taken?") from exc
    await server.start()
    log.info("listening", action="start", rpc=f"{host}:{bound}")
    try:
        yield bound
    finally:
        checks.drain()
        try:
            await asyncio.sleep(notice)
        finally:
            await server.stop(grace)


class ReadinessServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The standard health service, answering from a question asked at each check instead of a stored flag."""

    def __init__(self, ready: Callable[[], Awaitable[bool]], names: frozenset[str]) -> None:
        self._ready = ready
        self._names = names
        self._draining = False

    def drain(self) -> None:
        """Answer NOT_SERVING from now on."""
        self._draining = True

    async def Check(  # noqa: N802  the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """One answer; NOT_FOUND for a service that is not here."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        serving_now = not self._draining and await self._ready()
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if serving_now else status.NOT_SERVING)
