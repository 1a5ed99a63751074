"""Client of the exporter: check a request, create a job, get a job."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc

from services.chassis.faults import Fault, Kind
from services.chassis.rpc.client import Caller
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc


class ExporterClient:
    """Calls ExporterService. Methods raise the Fault of the answer, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._caller = Caller("exporter", deadline=deadline)

    async def check(self, tenant: str, form: str, options_json: str) -> None:
        """Check a request without creating a job."""
        request = pb.CheckJobRequest(tenant=tenant, format=form, options_json=options_json)
        await self._caller.call(self._stub.CheckJob, request)

    async def create_job(self, request: pb.CreateJobRequest) -> pb.Job:
        """Create the job with the request's `job_id`; repeated calls create it once."""
        return (await self._caller.call(self._stub.CreateJob, request)).job

    async def job(self, tenant: str, job_id: str) -> pb.Job | None:
        """A job; None when it does not exist."""
        try:
            return (await self._caller.call(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))).job
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return None
            raise
