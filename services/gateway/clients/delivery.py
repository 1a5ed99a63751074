"""The gateway's client of the delivery service: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.clients.rest_names import BRIEF_DEADLINE, RestCaller
from services.wire import delivery_pb2 as pb
from services.wire import delivery_pb2_grpc, exporter_pb2

TEST_DEADLINE = 60.0
BRIEF_SIZE = 50


class DeliveryClient:
    """Calls DeliveryService. Every method raises the Fault that the service returns, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self._caller = RestCaller("delivery", deadline=deadline)

    async def create_platform(self, request: pb.CreatePlatformRequest) -> pb.CreatePlatformResponse:
        """Register a platform; repeated calls with the same id register one."""
        return await self._caller.call(self._stub.CreatePlatform, request)

    async def platform(self, tenant: str, platform_id: str) -> pb.Platform:
        """One platform, its secrets masked."""
        request = pb.GetPlatformRequest(tenant=tenant, platform_id=platform_id)
        return (await self._caller.call(self._stub.GetPlatform, request)).platform

    async def platforms_named(self, tenant: str, platform_ids: Sequence[str]) -> Sequence[pb.Platform]:
        """Those of these platforms that exist, with a short deadline."""
        request = pb.BatchGetPlatformsRequest(tenant=tenant, platform_ids=platform_ids)
        found = await self._caller.call(self._stub.BatchGetPlatforms, request, deadline=BRIEF_DEADLINE)
        return found.platforms

    async def platforms(self, request: pb.ListPlatformsRequest) -> pb.ListPlatformsResponse:
        """A page of platforms."""
        return await self._caller.call(self._stub.ListPlatforms, request)

    async def update_platform(self, request: pb.UpdatePlatformRequest) -> pb.Platform:
        """Change the fields that are present."""
        return (await self._caller.call(self._stub.UpdatePlatform, request)).platform

    async def delete_platform(self, tenant: str, platform_id: str, expected: Timestamp | None) -> None:
        """Delete a platform, if it was last changed at the expected time; None: in any case."""
        request = pb.DeletePlatformRequest(tenant=tenant, platform_id=platform_id, expected_updated_at=expected)
        await self._caller.call(self._stub.DeletePlatform, request)

    async def test_platform(self, tenant: str, platform_id: str) -> pb.TestPlatformResponse:
        """Send a probe to a platform."""
        request = pb.TestPlatformRequest(tenant=tenant, platform_id=platform_id)
        return await self._caller.call(self._stub.TestPlatform, request, deadline=TEST_DEADLINE)

    async def platform_types(self) -> Sequence[pb.PlatformType]:
        """The types and the schemas of their configs."""
        return (await self._caller.call(self._stub.ListPlatformTypes, pb.ListPlatformTypesRequest())).types

    async def usage(self, tenant: str) -> pb.GetPlatformUsageResponse:
        """The limit and usage of platforms, with a short deadline."""
        request = pb.GetPlatformUsageRequest(tenant=tenant)
        return await self._caller.call(self._stub.GetPlatformUsage, request, deadline=BRIEF_DEADLINE)

    async def deliveries(self, job: exporter_pb2.Job, limit: int, cursor: str) -> pb.ListDeliveriesResponse:
        """A page of a job's deliveries."""
        request = _deliveries_of(job, page_size=limit, page_token=cursor)
        return await self._caller.call(self._stub.ListDeliveries, request)

    async def all_deliveries(self, request: pb.ListDeliveriesRequest) -> pb.ListDeliveriesResponse:
        """A page of the deliveries of all jobs."""
        return await self._caller.call(self._stub.ListDeliveries, request)

    async def list_deliveries_brief(self, job: exporter_pb2.Job) -> pb.ListDeliveriesResponse:
        """A job's newest deliveries without receipts and attempts, with a short deadline."""
        request = _deliveries_of(job, page_size=BRIEF_SIZE, view=pb.DELIVERY_VIEW_BASIC)
        return await self._caller.call(self._stub.ListDeliveries, request, deadline=BRIEF_DEADLINE)

    async def deliver(self, tenant: str, job_id: str, platform_id: str, key: str) -> pb.DeliverJobResponse:
        """Deliver a job's file to a platform, again or for the first time; with the same key, once."""
        request = pb.DeliverJobRequest(tenant=tenant, job_id=job_id, platform_id=platform_id, idempotency_key=key)
        return await self._caller.call(self._stub.DeliverJob, request)


def _deliveries_of(job: exporter_pb2.Job, **options: Any) -> pb.ListDeliveriesRequest:
    """Not those of an earlier job that had the same id and was deleted."""
    return pb.ListDeliveriesRequest(tenant=job.tenant, job_id=job.id, job_created_at=job.created_at, **options)
