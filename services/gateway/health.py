"""The standard health question, to any service."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.faults import Fault
from services.chassis.rpc.client import Caller

DEADLINE = 2.0


async def says_serving(channel: grpc.aio.Channel) -> bool:
    """Whether a replica says it serves, within two seconds."""
    ask = Caller("peer", deadline=DEADLINE)
    try:
        answer = await ask.call(health_pb2_grpc.HealthStub(channel).Check, health_pb2.HealthCheckRequest(service=""))
    except Fault:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
