"""The delivery service's client of the exporter: one job with its file, and the completions since a time."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import AsyncIterator
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

    async def completions(self, since: datetime) -> AsyncIterator[pb.JobFile]:
        """Jobs completed at `since` or later, in the order of their completion, page by page."""
        request = pb.ListCompletionsRequest()
        request.since.FromDatetime(since)
        while True:
            page = await self._caller.call(self._stub.ListCompletions, request)
            for file in page.files:
                yield file
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
