"""Checks a pod's readiness probe from outside, as the kubelet does."""

import contextlib
import http.client
import socket
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.containers.manifests import Manifest

TIMEOUT = 3.0


def is_ready(container: Manifest, address: str) -> bool:
    """Check the container's readinessProbe once."""
    probe = container["readinessProbe"]
    if "grpc" in probe:
        return _serves(address, int(probe["grpc"]["port"]))
    if "httpGet" in probe:
        return _answers(address, _port(container, probe["httpGet"]["port"]), probe["httpGet"]["path"])
    return _listens(address, _port(container, probe["tcpSocket"]["port"]))


def _port(container: Manifest, port: Any) -> int:
    """Resolve a port given as a number or as a name in `ports`."""
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    return int(named.get(port, port))


def _serves(address: str, port: int) -> bool:
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(f"{address}:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        answer = check(health_pb2.HealthCheckRequest(service=""), timeout=TIMEOUT)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


def _answers(address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    return False


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), TIMEOUT):
        return True
    return False
