"""The standard gRPC health service, for probes and load balancers: readiness and liveness."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIVENESS = "liveness"
"""The service name of the liveness check: an unreachable database is no reason to restart the process."""


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Evaluates readiness at each check instead of storing a flag; `liveness` is always SERVING."""

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
        """The current status; NOT_FOUND for an unknown service."""
        status = health_pb2.HealthCheckResponse
        if request.service == LIVENESS:
            return status(status=status.SERVING)
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        serving_now = not self._draining and await self._ready()
        return status(status=status.SERVING if serving_now else status.NOT_SERVING)
