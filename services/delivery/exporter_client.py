"""The exporter as the delivery service sees it: one job, and the completions since a time."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import AsyncIterator
from datetime import datetime

import grpc

from services.chassis.faults import Fault, Kind
from services.chassis.rpc.client import Caller
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc


class ExporterClient:
    """Calls `catalog.exports.v1.Exporter`. Every method raises the Fault the service answers, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterStub(channel)
        self._caller = Caller("exporter", deadline=deadline)

    async def job(self, tenant: str, job_id: str) -> pb.Job | None:
        """A job; None when it is not there any more."""
        try:
            return await self._caller.call(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return None
            raise

    async def completions(self, since: datetime) -> AsyncIterator[pb.Job]:
        """Jobs completed at `since` or later, in the order of their completion, page by page."""
        request = pb.ListCompletionsRequest()
        request.since.FromDatetime(since)
        while True:
            page = await self._caller.call(self._stub.ListCompletions, request)
            for job in page.jobs:
                yield job
            if not page.next_cursor:
                return
            request.cursor = page.next_cursor
