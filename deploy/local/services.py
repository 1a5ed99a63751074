"""The table of services the local stack runs: a new one is one row."""

import contextlib
import http.client
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.children import Child, NotReady
from deploy.local.priority import give_way
from deploy.local.servers import HOST, PORT_FREE_WITHIN, is_free

ANSWER_WITHIN = 2.0


def rpc_is_ready(port: int) -> bool:
    """Whether the standard gRPC health service on this port says SERVING."""
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(f"{HOST}:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        answer = check(health_pb2.HealthCheckRequest(service=""), timeout=ANSWER_WITHIN)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


def http_is_ready(port: int) -> bool:
    """Whether `GET /readyz` on this port answers 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_WITHIN)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


@dataclass(frozen=True, slots=True)
class Service:
    """One service: `python -m <module>` with its port in the variable `port_variable`.

    Others find it in the variable `address_variable`, as `host:port`. `env` is its own beside what all share; one that
    `gives_way` has a core when the others leave it one.
    """

    name: str
    module: str
    port_variable: str
    is_ready: Callable[[int], bool]
    address_variable: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    gives_way: bool = False


# As in production, one process answers and another makes the files: a huge export then delays no answer.
EXPORTER = Service(
    "exporter", "services.exporter", "GRPC_PORT", rpc_is_ready, "EXPORTER_ADDRESS", env={"WORKER_JOBS": "0"}
)
WORKER = Service("exporter-worker", "services.exporter", "GRPC_PORT", rpc_is_ready, gives_way=True)
DELIVERY = Service("delivery", "services.delivery", "GRPC_PORT", rpc_is_ready, "DELIVERY_ADDRESS")
SCHEDULER = Service("scheduler", "services.scheduler", "GRPC_PORT", rpc_is_ready, "SCHEDULER_ADDRESS")
GATEWAY = Service("gateway", "services.gateway", "GATEWAY_PORT", http_is_ready)

SERVICES = (EXPORTER, WORKER, DELIVERY, SCHEDULER, GATEWAY)
"""In the order of their start; they are stopped the other way round."""


class ServiceChild(Child):
    """A service as a child process on a port of its own."""

    def __init__(self, service: Service, port: int, env: Mapping[str, str], log: Path) -> None:
        super().__init__(service.name, log)
        self.port = port
        self._service = service
        self._env = {**env, **service.env, service.port_variable: str(port)}

    def launch(self) -> None:
        if not is_free(self.port, PORT_FREE_WITHIN):
            hint = "; set GATEWAY_PORT to another one" if self._service is GATEWAY else ""
            raise NotReady(f"{self.name}: port {self.port} on {HOST} is taken by another program{hint}")
        self.spawn([sys.executable, "-m", self._service.module], self._env)
        if self._service.gives_way and self.pid is not None:
            give_way(self.pid)

    def is_ready(self) -> bool:
        return self._service.is_ready(self.port)
