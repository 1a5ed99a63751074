"""The services of the local stack, one entry each."""

import contextlib
import http.client
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.processes.children import Child, NotReady
from deploy.local.servers import HOST, PORT_FREE_TIMEOUT, is_free

ANSWER_TIMEOUT = 2.0


def rpc_is_ready(port: int) -> bool:
    """Whether the standard gRPC health service on this port answers SERVING."""
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(f"{HOST}:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        answer = check(health_pb2.HealthCheckRequest(service=""), timeout=ANSWER_TIMEOUT)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


def http_is_ready(port: int) -> bool:
    """Whether `GET /readyz` on this port answers 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_TIMEOUT)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


@dataclass(frozen=True, slots=True)
class Service:
    """One service: `python -m <module>` with its port in the variable `port_variable`.

    `address_variable` gives its `host:port` to the other services. `env` comes on top of the shared environment.
    """

    name: str
    module: str
    port_variable: str
    is_ready: Callable[[int], bool]
    address_variable: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


# As in production, one process answers and another makes the files, so a large export does not delay answers.
EXPORTER = Service(
    "exporter", "services.exporter", "GRPC_PORT", rpc_is_ready, "EXPORTER_ADDRESS", env={"WORKER_JOBS": "0"}
)
WORKER = Service("exporter-worker", "services.exporter", "GRPC_PORT", rpc_is_ready)
DELIVERY = Service("delivery", "services.delivery", "GRPC_PORT", rpc_is_ready, "DELIVERY_ADDRESS")
SCHEDULER = Service("scheduler", "services.scheduler", "GRPC_PORT", rpc_is_ready, "SCHEDULER_ADDRESS")
GATEWAY = Service("gateway", "services.gateway", "GATEWAY_PORT", http_is_ready)

SERVICES = (EXPORTER, WORKER, DELIVERY, SCHEDULER, GATEWAY)
"""In start order; they are stopped in reverse."""


class ServiceChild(Child):
    """A service as a child process on its own port."""

    def __init__(self, service: Service, port: int, env: Mapping[str, str], log: Path) -> None:
        super().__init__(service.name, log)
        self.port = port
        self._service = service
        self._env = {**env, **service.env, service.port_variable: str(port)}

    def launch(self) -> None:
        if not is_free(self.port, PORT_FREE_TIMEOUT):
            hint = "; set GATEWAY_PORT to another one" if self._service is GATEWAY else ""
            raise NotReady(f"{self.name}: port {self.port} on {HOST} is taken by another program{hint}")
        self.spawn([sys.executable, "-m", self._service.module], self._env)

    def is_ready(self) -> bool:
        return self._service.is_ready(self.port)
