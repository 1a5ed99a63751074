"""The delivery service as the gateway sees it: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc

from services.chassis.rpc.client import Caller
from services.wire import delivery_pb2 as pb
from services.wire import delivery_pb2_grpc

TEST_DEADLINE = 60.0
GLANCE_DEADLINE = 2.0
"""For what is only an addition to an answer."""


class DeliveryClient:
    """Calls `catalog.exports.v1.Delivery`. Every method raises the Fault the service answers, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = delivery_pb2_grpc.DeliveryStub(channel)
        self._caller = Caller("delivery", deadline=deadline)

    async def create_platform(self, request: pb.CreatePlatformRequest) -> pb.Platform:
        """Register a platform; the same id makes one however often it is called."""
        return await self._caller.call(self._stub.CreatePlatform, request)

    async def platform(self, tenant: str, platform_id: str) -> pb.Platform:
        """One platform, its secrets masked."""
        request = pb.GetPlatformRequest(tenant=tenant, platform_id=platform_id)
        return await self._caller.call(self._stub.GetPlatform, request)

    async def platforms(self, tenant: str, limit: int, cursor: str) -> pb.ListPlatformsResponse:
        """A page of platforms."""
        request = pb.ListPlatformsRequest(tenant=tenant, limit=limit, cursor=cursor)
        return await self._caller.call(self._stub.ListPlatforms, request)

    async def update_platform(self, request: pb.UpdatePlatformRequest) -> pb.Platform:
        """Change what is given."""
        return await self._caller.call(self._stub.UpdatePlatform, request)

    async def delete_platform(self, tenant: str, platform_id: str) -> None:
        """Forget a platform."""
        request = pb.DeletePlatformRequest(tenant=tenant, platform_id=platform_id)
        await self._caller.call(self._stub.DeletePlatform, request)

    async def test_platform(self, tenant: str, platform_id: str) -> pb.TestPlatformResponse:
        """Try it out."""
        request = pb.TestPlatformRequest(tenant=tenant, platform_id=platform_id)
        return await self._caller.call(self._stub.TestPlatform, request, deadline=TEST_DEADLINE)

    async def types(self) -> pb.ListPlatformTypesResponse:
        """The types and the schemas of their configs."""
        return await self._caller.call(self._stub.ListPlatformTypes, pb.ListPlatformTypesRequest())

    async def deliveries(self, tenant: str, job_id: str, limit: int, cursor: str) -> pb.ListDeliveriesResponse:
        """A page of a job's deliveries."""
        request = pb.ListDeliveriesRequest(tenant=tenant, job_id=job_id, limit=limit, cursor=cursor)
        return await self._caller.call(self._stub.ListDeliveries, request)

    async def glance(self, tenant: str, job_id: str) -> pb.ListDeliveriesResponse:
        """A job's newest deliveries, quickly or not at all."""
        request = pb.ListDeliveriesRequest(tenant=tenant, job_id=job_id, limit=50)
        return await self._caller.call(self._stub.ListDeliveries, request, deadline=GLANCE_DEADLINE)

    async def deliver(self, tenant: str, job_id: str, platform_id: str) -> pb.JobDelivery:
        """Deliver a job's file again, or elsewhere."""
        request = pb.DeliverJobRequest(tenant=tenant, job_id=job_id, platform_id=platform_id)
        return await self._caller.call(self._stub.DeliverJob, request)
