"""The gateway's client of the scheduler: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import Sequence

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.clients.rest_names import BRIEF_DEADLINE, RestCaller
from services.wire import scheduler_pb2 as pb
from services.wire import scheduler_pb2_grpc

NAMES = {"options_json": "options", "jitter": "jitter_seconds"}


class SchedulerClient:
    """Calls SchedulerService. Every method raises the Fault that the service returns, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
        self._caller = RestCaller("scheduler", deadline=deadline, names=NAMES)

    async def create(self, request: pb.CreateScheduleRequest) -> pb.CreateScheduleResponse:
        """Create a schedule; repeated calls with the same id create one."""
        return await self._caller.call(self._stub.CreateSchedule, request)

    async def get(self, tenant: str, schedule_id: str) -> pb.Schedule:
        """One schedule."""
        request = pb.GetScheduleRequest(tenant=tenant, schedule_id=schedule_id)
        return (await self._caller.call(self._stub.GetSchedule, request)).schedule

    async def list(self, request: pb.ListSchedulesRequest) -> pb.ListSchedulesResponse:
        """A page of schedules."""
        return await self._caller.call(self._stub.ListSchedules, request)

    async def update(self, request: pb.UpdateScheduleRequest) -> pb.Schedule:
        """Change the fields that are present."""
        return (await self._caller.call(self._stub.UpdateSchedule, request)).schedule

    async def delete(self, tenant: str, schedule_id: str, expected: Timestamp | None) -> None:
        """Delete a schedule, if it was last changed at the expected time; None: in any case."""
        request = pb.DeleteScheduleRequest(tenant=tenant, schedule_id=schedule_id, expected_updated_at=expected)
        await self._caller.call(self._stub.DeleteSchedule, request)

    async def run(self, tenant: str, schedule_id: str, key: str) -> pb.RunScheduleResponse:
        """Start one run now; repeated calls with the same key start one."""
        request = pb.RunScheduleRequest(tenant=tenant, schedule_id=schedule_id, idempotency_key=key)
        return await self._caller.call(self._stub.RunSchedule, request)

    async def runs(self, request: pb.ListRunsRequest) -> pb.ListRunsResponse:
        """A page of runs."""
        return await self._caller.call(self._stub.ListRuns, request)

    async def get_run(self, tenant: str, schedule_id: str, run_id: str) -> pb.Run:
        """One run of a schedule."""
        request = pb.GetRunRequest(tenant=tenant, schedule_id=schedule_id, run_id=run_id)
        return (await self._caller.call(self._stub.GetRun, request)).run

    async def upcoming(self, tenant: str, schedule_id: str, count: int) -> Sequence[pb.FireTime]:
        """The next fire times of a schedule."""
        request = pb.ListUpcomingTimesRequest(tenant=tenant, schedule_id=schedule_id, count=count)
        return (await self._caller.call(self._stub.ListUpcomingTimes, request)).times

    async def baseline(self, tenant: str, schedule_id: str) -> pb.GetBaselineResponse:
        """What the next file with changes is based on."""
        return await self._caller.call(
            self._stub.GetBaseline, pb.GetBaselineRequest(tenant=tenant, schedule_id=schedule_id)
        )

    async def reset_baseline(self, tenant: str, schedule_id: str) -> None:
        """Let the next file have all rows."""
        await self._caller.call(
            self._stub.ResetBaseline, pb.ResetBaselineRequest(tenant=tenant, schedule_id=schedule_id)
        )

    async def usage(self, tenant: str) -> pb.GetScheduleUsageResponse:
        """The limit and usage of schedules, with a short deadline."""
        request = pb.GetScheduleUsageRequest(tenant=tenant)
        return await self._caller.call(self._stub.GetScheduleUsage, request, deadline=BRIEF_DEADLINE)

    async def preview(self, cron_expression: str, timezone: str, count: int) -> Sequence[pb.FireTime]:
        """The next fire times of an expression."""
        request = pb.PreviewScheduleRequest(cron_expression=cron_expression, timezone=timezone, count=count)
        return (await self._caller.call(self._stub.PreviewSchedule, request)).times
