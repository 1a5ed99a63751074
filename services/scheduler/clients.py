"""Clients of the exporter and of the delivery service. Methods raise the Fault of the answer, or Unavailable."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from datetime import datetime

import grpc

from services.chassis.rpc.client import Caller
from services.chassis.timestamps import to_timestamp
from services.wire import (
    delivery_pb2,
    delivery_pb2_grpc,
    exporter_pb2_grpc,
    profiles_pb2,
    profiles_pb2_grpc,
    webhooks_pb2,
    webhooks_pb2_grpc,
)
from services.wire import exporter_pb2 as pb


class ExporterClient:
    """Calls ExporterService and ProfileService."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._profiles = profiles_pb2_grpc.ProfileServiceStub(channel)
        self._caller = Caller("exporter", deadline=deadline, name="scheduler")

    async def check(self, tenant: str, form: str, options_json: str) -> None:
        """Check a request without creating a job."""
        request = pb.CheckJobRequest(tenant=tenant, format=form, options_json=options_json)
        await self._caller.call(self._stub.CheckJob, request)

    async def has_profile(self, tenant: str, profile_id: str) -> bool:
        """Whether the tenant has this profile."""
        request = profiles_pb2.GetProfileRequest(tenant=tenant, profile_id=profile_id)
        return await self._caller.find(self._profiles.GetProfile, request) is not None

    async def create_job(self, request: pb.CreateJobRequest) -> pb.Job:
        """Create the job with the request's `job_id`; repeated calls create it once."""
        return (await self._caller.call(self._stub.CreateJob, request)).job

    async def job(self, tenant: str, job_id: str) -> pb.Job | None:
        """A job; None when it does not exist."""
        found = await self._caller.find(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))
        return None if found is None else found.job


class DeliveryClient:
    """Calls DeliveryService and WebhookService."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self._webhooks = webhooks_pb2_grpc.WebhookServiceStub(channel)
        self._caller = Caller("delivery", deadline=deadline)

    async def platform(self, tenant: str, platform_id: str) -> delivery_pb2.Platform | None:
        """A tenant's platform; None when it does not exist."""
        request = delivery_pb2.GetPlatformRequest(tenant=tenant, platform_id=platform_id)
        found = await self._caller.find(self._stub.GetPlatform, request)
        return None if found is None else found.platform

    async def of_job(self, job: pb.Job, platform_id: str) -> delivery_pb2.Delivery | None:
        """The newest delivery of a job to a platform; None: there is none."""
        request = delivery_pb2.ListDeliveriesRequest(
            tenant=job.tenant,
            job_id=job.id,
            platform_id=platform_id,
            job_created_at=job.created_at,
            page_size=1,
            view=delivery_pb2.DELIVERY_VIEW_BASIC,
        )
        found = await self._caller.call(self._stub.ListDeliveries, request)
        return found.deliveries[0] if found.deliveries else None

    async def record_missed_run(
        self, tenant: str, schedule_id: str, run_id: str, fire_at: datetime, count: int
    ) -> None:
        """Record that `count` fire times of a schedule were missed, the last one at `fire_at`; repeatable."""
        request = webhooks_pb2.RecordMissedRunsRequest(
            tenant=tenant, schedule_id=schedule_id, run_id=run_id, fire_at=to_timestamp(fire_at), count=count
        )
        await self._caller.call(self._webhooks.RecordMissedRuns, request)
