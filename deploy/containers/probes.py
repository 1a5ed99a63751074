"""What kubelet does with a readiness probe: asks the pod, from outside, as its manifest says."""

import contextlib
import http.client
import socket
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.containers.manifests import Manifest

ANSWER_WITHIN = 3.0


def is_ready(container: Manifest, address: str) -> bool:
    """Whether the container's readinessProbe succeeds now, once."""
    probe = container["readinessProbe"]
    if "grpc" in probe:
        return _serves(address, int(probe["grpc"]["port"]))
    if "httpGet" in probe:
        return _answers(address, _port(container, probe["httpGet"]["port"]), probe["httpGet"]["path"])
    return _listens(address, _port(container, probe["tcpSocket"]["port"]))


def _port(container: Manifest, port: Any) -> int:
    """A port by its number, or by its name in `ports`."""
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    return int(named.get(port, port))


def _serves(address: str, port: int) -> bool:
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(f"{address}:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        answer = check(health_pb2.HealthCheckRequest(service=""), timeout=ANSWER_WITHIN)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


def _answers(address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=ANSWER_WITHIN)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    return False


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), ANSWER_WITHIN):
        return True
    return False
