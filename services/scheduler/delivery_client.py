"""Client of the delivery service: get a platform."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc

from services.chassis.faults import Fault, Kind
from services.chassis.rpc.client import Caller
from services.wire import delivery_pb2 as pb
from services.wire import delivery_pb2_grpc


class DeliveryClient:
    """Calls DeliveryService."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self._caller = Caller("delivery", deadline=deadline)

    async def platform(self, tenant: str, platform_id: str) -> pb.Platform | None:
        """A tenant's platform; None when it does not exist.

        Raises:
            Fault: the service's answer, or Unavailable.
        """
        request = pb.GetPlatformRequest(tenant=tenant, platform_id=platform_id)
        try:
            return (await self._caller.call(self._stub.GetPlatform, request)).platform
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return None
            raise
