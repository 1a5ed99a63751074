"""The exporter as the scheduler sees it: check a request, ask for an export, look at its job."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc

from services.chassis.faults import Fault, Kind
from services.chassis.rpc.client import Caller
from services.scheduler.schedules.schedule import Run, Schedule
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc


class ExporterClient:
    """Calls `catalog.exports.v1.Exporter`. Every method raises the Fault the service answers, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterStub(channel)
        self._caller = Caller("exporter", deadline=deadline)

    async def check(self, tenant: str, form: str, options_json: str) -> None:
        """Refuse what would be refused at every run."""
        request = pb.CheckJobRequest(tenant=tenant, format=form, options_json=options_json)
        await self._caller.call(self._stub.CheckJob, request)

    async def submit(self, run: Run, schedule: Schedule) -> pb.Job:
        """Ask for the run's export; however often this is called, it is one job."""
        request = pb.CreateJobRequest(
            tenant=schedule.tenant,
            format=schedule.format,
            options_json=with_platform(schedule.options_json, schedule.platform_id),
            job_id=run.job_id,
            schedule_id=schedule.id,
            schedule_name=schedule.name,
        )
        return await self._caller.call(self._stub.CreateJob, request)

    async def job(self, tenant: str, job_id: str) -> pb.Job | None:
        """A job; None when there is none."""
        try:
            return await self._caller.call(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return None
            raise


def with_platform(options_json: str, platform_id: str) -> str:
    """The options with the platform they go to; the text is kept as it is, with all its digits."""
    inner = options_json.strip().removeprefix("{").removesuffix("}").strip()
    return f'{{{inner}{", " if inner else ""}"platform_ids": ["{platform_id}"]}}'
