"""The delivery service's client of the exporter: jobs with their files, and the jobs that ended since a time."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

import grpc

from services.chassis.rpc.client import Caller
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc


class ExporterClient:
    """Calls ExporterService. Every method raises the Fault that the service returns, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._caller = Caller("exporter", deadline=deadline)

    async def job_file(self, tenant: str, job_id: str) -> pb.JobFile | None:
        """A job with the location of its file; None when there is no such job."""
        request = pb.GetJobFileRequest(tenant=tenant, job_id=job_id)
        found = await self._caller.find(self._stub.GetJobFile, request)
        return None if found is None else found.file

    async def job_files(self, jobs: Iterable[tuple[str, str]]) -> Sequence[pb.JobFile]:
        """The same for several jobs, by tenant and id, without their options; those that do not exist are left out."""
        wanted = [pb.GetJobFileRequest(tenant=tenant, job_id=job_id) for tenant, job_id in jobs]
        return (await self._caller.call(self._stub.BatchGetJobFiles, pb.BatchGetJobFilesRequest(requests=wanted))).files

    async def note_deliveries(self, jobs: Iterable[pb.Job], *, has_deliveries: bool) -> None:
        """Tell the exporter whether these jobs have deliveries."""
        notes = [
            pb.NoteDeliveriesRequest.Note(job_id=job.id, created_at=job.created_at, has_deliveries=has_deliveries)
            for job in jobs
        ]
        if notes:
            await self._caller.call(self._stub.NoteDeliveries, pb.NoteDeliveriesRequest(notes=notes))

    async def ended_jobs(self, since: datetime) -> AsyncIterator[Sequence[pb.JobFile]]:
        """Jobs that ended at `since` or later, in the order of their ends, in pages."""
        request = pb.ListEndedJobsRequest()
        request.since.FromDatetime(since)
        while True:
            page = await self._caller.call(self._stub.ListEndedJobs, request)
            yield page.files
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
