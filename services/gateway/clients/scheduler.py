"""The scheduler as the gateway sees it: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc

from services.chassis.rpc.client import Caller
from services.wire import scheduler_pb2 as pb
from services.wire import scheduler_pb2_grpc


class SchedulerClient:
    """Calls `catalog.exports.v1.Scheduler`. Every method raises the Fault the service answers, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = scheduler_pb2_grpc.SchedulerStub(channel)
        self._caller = Caller("scheduler", deadline=deadline)

    async def create(self, request: pb.CreateScheduleRequest) -> pb.Schedule:
        """Make a schedule; the same id makes one however often it is called."""
        return await self._caller.call(self._stub.CreateSchedule, request)

    async def get(self, tenant: str, schedule_id: str) -> pb.Schedule:
        """One schedule."""
        request = pb.GetScheduleRequest(tenant=tenant, schedule_id=schedule_id)
        return await self._caller.call(self._stub.GetSchedule, request)

    async def list(self, tenant: str, limit: int, cursor: str, platform_id: str = "") -> pb.ListSchedulesResponse:
        """A page of schedules; of those that deliver to one platform, if it is given."""
        request = pb.ListSchedulesRequest(tenant=tenant, platform_id=platform_id, limit=limit, cursor=cursor)
        return await self._caller.call(self._stub.ListSchedules, request)

    async def update(self, request: pb.UpdateScheduleRequest) -> pb.Schedule:
        """Change what is given."""
        return await self._caller.call(self._stub.UpdateSchedule, request)

    async def delete(self, tenant: str, schedule_id: str) -> None:
        """Forget a schedule."""
        request = pb.DeleteScheduleRequest(tenant=tenant, schedule_id=schedule_id)
        await self._caller.call(self._stub.DeleteSchedule, request)

    async def run(self, tenant: str, schedule_id: str, request_id: str) -> pb.Run:
        """One run now; the same request id makes one."""
        request = pb.RunScheduleRequest(tenant=tenant, schedule_id=schedule_id, request_id=request_id)
        return await self._caller.call(self._stub.RunSchedule, request)

    async def runs(self, tenant: str, schedule_id: str, limit: int, cursor: str) -> pb.ListRunsResponse:
        """A page of runs."""
        request = pb.ListRunsRequest(tenant=tenant, schedule_id=schedule_id, limit=limit, cursor=cursor)
        return await self._caller.call(self._stub.ListRuns, request)

    async def upcoming(self, tenant: str, schedule_id: str, count: int) -> pb.UpcomingResponse:
        """The next times of a schedule."""
        request = pb.UpcomingRequest(tenant=tenant, schedule_id=schedule_id, count=count)
        return await self._caller.call(self._stub.Upcoming, request)

    async def preview(self, cron_expression: str, timezone: str, count: int) -> pb.UpcomingResponse:
        """The next times of an expression."""
        request = pb.PreviewRequest(cron_expression=cron_expression, timezone=timezone, count=count)
        return await self._caller.call(self._stub.Preview, request)
