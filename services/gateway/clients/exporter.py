"""The exporter as the gateway sees it: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from services.chassis.rpc.client import Caller
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc


@dataclass(frozen=True, slots=True)
class Listing:
    """Which jobs a list is about."""

    states: Sequence[pb.JobState.ValueType]
    form: str
    schedule_id: str
    limit: int
    cursor: str


class ExporterClient:
    """Calls `catalog.exports.v1.Exporter`. Every method raises the Fault the service answers, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterStub(channel)
        self._caller = Caller("exporter", deadline=deadline)

    async def create(self, tenant: str, form: str, options_json: str, *, key: str, job_id: str) -> pb.Job:
        """Accept a job; the same key, or the same id, makes one job however often it is called."""
        request = pb.CreateJobRequest(
            tenant=tenant, format=form, options_json=options_json, idempotency_key=key, job_id=job_id
        )
        return await self._caller.call(self._stub.CreateJob, request)

    async def get(self, tenant: str, job_id: str) -> pb.Job:
        """One job."""
        return await self._caller.call(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))

    async def list(self, tenant: str, listing: Listing) -> pb.ListJobsResponse:
        """A page of jobs."""
        request = pb.ListJobsRequest(
            tenant=tenant,
            states=listing.states,
            format=listing.form,
            schedule_id=listing.schedule_id,
            limit=listing.limit,
            cursor=listing.cursor,
        )
        return await self._caller.call(self._stub.ListJobs, request)

    async def cancel(self, tenant: str, job_id: str) -> pb.Job:
        """End a live job."""
        return await self._caller.call(self._stub.CancelJob, pb.CancelJobRequest(tenant=tenant, job_id=job_id))

    async def retry(self, tenant: str, job_id: str) -> pb.Job:
        """Start an ended job again."""
        return await self._caller.call(self._stub.RetryJob, pb.RetryJobRequest(tenant=tenant, job_id=job_id))

    async def delete(self, tenant: str, job_id: str) -> None:
        """Forget an ended job."""
        await self._caller.call(self._stub.DeleteJob, pb.DeleteJobRequest(tenant=tenant, job_id=job_id))

    async def formats(self) -> Sequence[pb.FormatDescription]:
        """The formats and the schemas of their options."""
        return (await self._caller.call(self._stub.ListFormats, pb.ListFormatsRequest())).formats
