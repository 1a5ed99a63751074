"""Clients of the exporter and of the delivery service. Methods raise the Fault of the answer, or Unavailable."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc

from services.chassis.rpc.client import Caller
from services.wire import delivery_pb2, delivery_pb2_grpc, exporter_pb2_grpc
from services.wire import exporter_pb2 as pb


class ExporterClient:
    """Calls ExporterService."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._caller = Caller("exporter", deadline=deadline, name="scheduler")

    async def check(self, tenant: str, form: str, options_json: str) -> None:
        """Check a request without creating a job."""
        request = pb.CheckJobRequest(tenant=tenant, format=form, options_json=options_json)
        await self._caller.call(self._stub.CheckJob, request)

    async def create_job(self, request: pb.CreateJobRequest) -> pb.Job:
        """Create the job with the request's `job_id`; repeated calls create it once."""
        return (await self._caller.call(self._stub.CreateJob, request)).job

    async def job(self, tenant: str, job_id: str) -> pb.Job | None:
        """A job; None when it does not exist."""
        found = await self._caller.find(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))
        return None if found is None else found.job


class DeliveryClient:
    """Calls DeliveryService."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self._caller = Caller("delivery", deadline=deadline)

    async def platform(self, tenant: str, platform_id: str) -> delivery_pb2.Platform | None:
        """A tenant's platform; None when it does not exist."""
        request = delivery_pb2.GetPlatformRequest(tenant=tenant, platform_id=platform_id)
        found = await self._caller.find(self._stub.GetPlatform, request)
        return None if found is None else found.platform
