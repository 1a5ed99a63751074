"""The gRPC face of the scheduler: schedules, their runs, and the times to come."""

import uuid
from datetime import datetime
from typing import Any

import structlog
from google.protobuf.empty_pb2 import Empty

from services.chassis.faults import BadRequest, Violation
from services.chassis.paging import from_cursor, to_cursor
from services.chassis.telemetry import tracing
from services.scheduler.cron import preview
from services.scheduler.messages import run_message, schedule_message, spec_for_create, spec_for_update, times_message
from services.scheduler.runs.store import RunStore
from services.scheduler.schedules.registry import ScheduleRegistry
from services.scheduler.schedules.schedule import Run, RunState, Schedule, manual_run_id
from services.scheduler.schedules.spec import cron_of
from services.scheduler.schedules.store import ScheduleStore
from services.wire import scheduler_pb2 as pb
from services.wire import scheduler_pb2_grpc

log = structlog.get_logger()

MOST_A_PAGE, A_PAGE = 200, 50
MOST_TIMES, TIMES = 100, 10


class SchedulerService(scheduler_pb2_grpc.SchedulerServicer):
    """Implements `catalog.exports.v1.Scheduler`."""

    def __init__(self, registry: ScheduleRegistry, schedules: ScheduleStore, runs: RunStore) -> None:
        self._registry = registry
        self._schedules = schedules
        self._runs = runs

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Any) -> pb.Schedule:
        """Make a schedule."""
        made = await self._registry.create(request.tenant, spec_for_create(request), request.schedule_id)
        log.info("schedule_created", action="create", schedule_id=made.id, tenant=made.tenant)
        return schedule_message(made, None)

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Any) -> pb.Schedule:
        """One schedule."""
        return await self._shown(await self._registry.get(request.tenant, request.schedule_id))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Any) -> pb.ListSchedulesResponse:
        """A page of a tenant's schedules, newest first."""
        limit = _within(request.limit, A_PAGE, MOST_A_PAGE)
        found = await self._schedules.page(
            request.tenant,
            platform_id=request.platform_id,
            before=_position(request.cursor),
            limit=limit + 1,
        )
        page = found[:limit]
        last = await self._runs.newest([schedule.id for schedule in page])
        following = to_cursor(page[-1].created_at, page[-1].id) if len(found) > limit else ""
        shown = [schedule_message(schedule, last.get(schedule.id)) for schedule in page]
        return pb.ListSchedulesResponse(schedules=shown, next_cursor=following)

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Any) -> pb.Schedule:
        """Change what is given."""
        return await self._shown(
            await self._registry.update(request.tenant, request.schedule_id, spec_for_update(request))
        )

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Any) -> Empty:
        """Forget a schedule."""
        await self._registry.delete(request.tenant, request.schedule_id)
        log.info("schedule_deleted", action="delete", schedule_id=request.schedule_id, tenant=request.tenant)
        return Empty()

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Any) -> pb.Run:
        """One run now; a paused schedule runs, too."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        now = await self._schedules.now()
        run = Run(
            id=manual_run_id(schedule.id, request.request_id or uuid.uuid4().hex),
            schedule_id=schedule.id,
            tenant=schedule.tenant,
            fire_at=now,
            state=RunState.WAITING,
            created_at=now,
            is_manual=True,
            traceparent=tracing.traceparent(),
        )
        return run_message(await self._runs.add(run))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        """A page of a schedule's runs, newest first."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        limit = _within(request.limit, A_PAGE, MOST_A_PAGE)
        found = await self._runs.page(schedule.id, before=_position(request.cursor), limit=limit + 1)
        page = found[:limit]
        following = to_cursor(page[-1].fire_at, page[-1].id) if len(found) > limit else ""
        return pb.ListRunsResponse(runs=[run_message(run) for run in page], next_cursor=following)

    async def Upcoming(self, request: pb.UpcomingRequest, context: Any) -> pb.UpcomingResponse:
        """The next times of a schedule; none while it is paused."""
        schedule = await self._registry.get(request.tenant, request.schedule_id)
        if schedule.next_fire_at is None:
            return pb.UpcomingResponse()
        return _times(schedule.cron_expression, schedule.timezone, schedule.planned_until, request.count)

    async def Preview(self, request: pb.PreviewRequest, context: Any) -> pb.UpcomingResponse:
        """The next times of an expression that is not stored."""
        now = await self._schedules.now()
        return _times(request.cron_expression, request.timezone or "UTC", now, request.count)

    async def _shown(self, schedule: Schedule) -> pb.Schedule:
        last = await self._runs.newest([schedule.id])
        return schedule_message(schedule, last.get(schedule.id))


def _times(expression: str, timezone: str, after: datetime, count: int) -> pb.UpcomingResponse:
    problems: list[Violation] = []
    cron = cron_of(expression, timezone, problems)
    if cron is None:
        raise BadRequest(problems)
    return times_message(preview.upcoming(cron, after, _within(count, TIMES, MOST_TIMES)))


def _within(asked: int, default: int, most: int) -> int:
    return min(asked if asked > 0 else default, most)


def _position(cursor: str) -> Any:
    try:
        return from_cursor(cursor)
    except ValueError as exc:
        raise BadRequest([Violation("cursor", "is not a cursor of this list; start without one")]) from exc
