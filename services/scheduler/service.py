"""Implements SchedulerService: schedules, their runs, and upcoming fire times."""

import asyncio
import uuid
from datetime import datetime
from typing import Any

import structlog

from services.chassis.faults import BadRequest, Violation
from services.chassis.paging import from_cursor, page_size
from services.chassis.rpc.requests import known_values, missing_is_deleted
from services.chassis.telemetry import tracing
from services.chassis.timestamps import expected_time
from services.limits import Limits
from services.scheduler.cron import preview
from services.scheduler.errors import RunNotFound
from services.scheduler.messages import FROM_STATES, run_message, schedule_message, spec_of, times_message
from services.scheduler.runs.baseline import Baselines
from services.scheduler.runs.store import RunStore
from services.scheduler.schedules.registry import ScheduleRegistry
from services.scheduler.schedules.schedule import Run, RunState, Schedule, manual_run_id
from services.scheduler.schedules.spec import cron_of
from services.scheduler.schedules.store import ScheduleStore
from services.wire import scheduler_pb2 as pb
from services.wire import scheduler_pb2_grpc

log = structlog.get_logger()

DEFAULT_TIMES, MAX_TIMES = 10, 100


class SchedulerService(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Implements `catalog.exports.v1.SchedulerService`."""

    def __init__(
        self, registry: ScheduleRegistry, schedules: ScheduleStore, runs: RunStore, limits: Limits, baselines: Baselines
    ) -> None:
        self._registry = registry
        self._schedules = schedules
        self._runs = runs
        self._limits = limits
        self._baselines = baselines

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Any) -> pb.CreateScheduleResponse:
        """Create a schedule."""
        created, is_replay = await self._registry.create(request.tenant, spec_of(request), request.schedule_id)
        if not is_replay:
            log.info("schedule_created", action="create", schedule_id=created.id, tenant=created.tenant)
        return pb.CreateScheduleResponse(schedule=schedule_message(created, None), is_replay=is_replay)

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Any) -> pb.GetScheduleResponse:
        """One schedule."""
        found = await self._registry.get(request.tenant, request.schedule_id)
        return pb.GetScheduleResponse(schedule=await self._message(found))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Any) -> pb.ListSchedulesResponse:
        """A page of a tenant's schedules, newest first."""
        size = page_size(request.page_size)
        found = await self._schedules.page(
            request.tenant,
            platform_id=request.platform_id,
            profile_id=request.profile_id,
            before=from_cursor(request.page_token),
            limit=size,
            name=request.name_contains,
            is_active=request.is_active if request.HasField("is_active") else None,
        )
        following = found.next_cursor(lambda one: (one.created_at, one.id))
        last = await self._runs.newest([schedule.id for schedule in found])
        messages = [schedule_message(schedule, last.get(schedule.id)) for schedule in found]
        return pb.ListSchedulesResponse(schedules=messages, next_page_token=following)

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Any) -> pb.UpdateScheduleResponse:
        """Change the fields that are present."""
        changed = await self._registry.update(
            request.tenant, request.schedule_id, spec_of(request), expected_time(request)
        )
        return pb.UpdateScheduleResponse(schedule=await self._message(changed))

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Any) -> pb.DeleteScheduleResponse:
        """Delete a schedule."""
        with missing_is_deleted(context):
            await self._registry.delete(request.tenant, request.schedule_id, expected_time(request))
        log.info("schedule_deleted", action="delete", schedule_id=request.schedule_id, tenant=request.tenant)
        return pb.DeleteScheduleResponse()

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Any) -> pb.RunScheduleResponse:
        """Start one run now, also of a paused schedule."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        now = await self._schedules.now()
        run = Run(
            id=manual_run_id(schedule.id, request.idempotency_key or uuid.uuid4().hex),
            schedule_id=schedule.id,
            tenant=schedule.tenant,
            fire_at=now,
            state=RunState.WAITING,
            created_at=now,
            is_manual=True,
            traceparent=tracing.traceparent(),
        )
        kept = await self._runs.add(run)
        is_replay = bool(request.idempotency_key) and kept.created_at != run.created_at
        return pb.RunScheduleResponse(run=run_message(kept), is_replay=is_replay)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        """A page of a schedule's runs, newest first."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        size = page_size(request.page_size)
        states = known_values(request.states, FROM_STATES, "states", "a state of a run")
        found = await self._runs.page(schedule.id, before=from_cursor(request.page_token), limit=size, states=states)
        following = found.next_cursor(lambda one: (one.fire_at, one.id))
        return pb.ListRunsResponse(runs=[run_message(run) for run in found], next_page_token=following)

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        """One run of a schedule."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        run = await self._runs.get(schedule.id, request.run_id)
        if run is None:
            raise RunNotFound(request.run_id)
        return pb.GetRunResponse(run=run_message(run))

    async def ListUpcomingTimes(
        self, request: pb.ListUpcomingTimesRequest, context: Any
    ) -> pb.ListUpcomingTimesResponse:
        """The next fire times of a schedule; none while it is paused."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        if schedule.next_fire_at is None:
            return pb.ListUpcomingTimesResponse()
        times = await _times(schedule.cron_expression, schedule.timezone, schedule.planned_until, request.count)
        return pb.ListUpcomingTimesResponse(times=times)

    async def PreviewSchedule(self, request: pb.PreviewScheduleRequest, context: Any) -> pb.PreviewScheduleResponse:
        """The next fire times of an expression that is not stored."""
        now = await self._schedules.now()
        times = await _times(request.cron_expression, request.timezone or "UTC", now, request.count)
        return pb.PreviewScheduleResponse(times=times)

    async def GetBaseline(self, request: pb.GetBaselineRequest, context: Any) -> pb.GetBaselineResponse:
        """What the next file with changes is based on."""
        return await self._baselines.message(await self._registry.get(request.tenant, request.schedule_id))

    async def ResetBaseline(self, request: pb.ResetBaselineRequest, context: Any) -> pb.ResetBaselineResponse:
        """Let the next run make a file with all rows."""
        await self._registry.reset_baseline(request.tenant, request.schedule_id)
        log.info("baseline_reset", action="update", schedule_id=request.schedule_id, tenant=request.tenant)
        return pb.ResetBaselineResponse()

    async def GetScheduleUsage(self, request: pb.GetScheduleUsageRequest, context: Any) -> pb.GetScheduleUsageResponse:
        """The tenant's limit and how much of it is used."""
        limit = self._limits.of(request.tenant).max_schedules
        return pb.GetScheduleUsageResponse(schedules=await self._schedules.count(request.tenant), max_schedules=limit)

    async def _message(self, schedule: Schedule) -> pb.Schedule:
        last = await self._runs.newest([schedule.id])
        return schedule_message(schedule, last.get(schedule.id))


async def _times(expression: str, timezone: str, after: datetime, count: int) -> list[pb.FireTime]:
    size = page_size(count, default=DEFAULT_TIMES, maximum=MAX_TIMES, field="count")

    def search() -> list[pb.FireTime]:
        problems: list[Violation] = []
        cron = cron_of(expression, timezone, problems)
        if cron is None:
            raise BadRequest(problems)
        return times_message(preview.upcoming(cron, after, size))

    return await asyncio.to_thread(search)
