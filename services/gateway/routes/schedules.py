"""Schedules of recurring exports, their runs, and their next fire times."""

import uuid

from aiohttp import web

from services.chassis.json_text import members
from services.chassis.timestamps import to_duration
from services.gateway.answers import schedules as answers
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.http.bodies import json_object, parse_body
from services.gateway.http.idempotency import KEY_PARAMETER, idempotency_key
from services.gateway.http.ids import id_in_path
from services.gateway.http.pages import LIST_PARAMETERS, requested_page, whole_number
from services.gateway.http.route import PREFIX, Caller, Parameter, Route, respond
from services.wire import scheduler_pb2 as pb

ALL, ONE = "/exports/schedules", "/exports/schedules/{schedule_id}"
DEFAULT_TIMES, MAX_TIMES = 10, 100
COUNT_PARAMETERS = (
    Parameter("count", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_TIMES, "default": DEFAULT_TIMES}),
)


class ScheduleRoutes:
    """`/exports/schedules`."""

    def __init__(self, scheduler: SchedulerClient) -> None:
        self._scheduler = scheduler

    @Route(
        "POST", ALL, "schedules:write", (201, answers.MadeSchedule), body=answers.NewSchedule, action="schedule.create"
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        """Create a schedule."""
        body = await parse_body(request, answers.NewSchedule)
        found = await self._scheduler.create(
            pb.CreateScheduleRequest(
                tenant=caller.tenant,
                platform_id=body.platform_id,
                schedule_name=body.schedule_name,
                cron_expression=body.cron_expression,
                timezone=body.timezone,
                is_active=body.is_active,
                format=body.format,
                options_json=_options(await json_object(request)),
                misfire=answers.MISFIRES[body.misfire],
                overlap=answers.OVERLAPS[body.overlap],
                jitter=to_duration(body.jitter_seconds),
                schedule_id=str(uuid.uuid4()),
            )
        )
        headers = {"Location": f"{PREFIX}/exports/schedules/{found.id}"}
        return respond(answers.made(found), 201, headers)

    @Route("GET", ALL, "schedules:read", (200, answers.SchedulePage), parameters=LIST_PARAMETERS, faults=(422,))
    async def list(self, request: web.Request, caller: Caller) -> answers.SchedulePage:
        """List schedules, newest first."""
        wanted = requested_page(request.query)
        found = await self._scheduler.list(caller.tenant, wanted.limit, wanted.cursor)
        items = [answers.schedule(one) for one in found.schedules]
        return answers.SchedulePage(items=items, next_cursor=found.next_page_token or None)

    # Before the routes with an id in their path.
    @Route("POST", f"{ALL}/preview", "schedules:read", (200, answers.Upcoming), body=answers.Preview)
    async def preview(self, request: web.Request, caller: Caller) -> answers.Upcoming:  # noqa: ARG002  the same for every tenant
        """The next fire times of an expression."""
        body = await parse_body(request, answers.Preview)
        return answers.upcoming(await self._scheduler.preview(body.cron_expression, body.timezone, body.count))

    @Route("GET", ONE, "schedules:read", (200, answers.Schedule), faults=(404,))
    async def get(self, request: web.Request, caller: Caller) -> answers.Schedule:
        """Get a schedule."""
        return answers.schedule(await self._scheduler.get(caller.tenant, id_in_path(request, "schedule")))

    @Route(
        "PATCH",
        ONE,
        "schedules:write",
        (200, answers.Schedule),
        body=answers.ScheduleChange,
        faults=(404, 409),
        action="schedule.update",
    )
    async def change(self, request: web.Request, caller: Caller) -> answers.Schedule:
        """Change a schedule."""
        schedule_id = id_in_path(request, "schedule")
        body = await parse_body(request, answers.ScheduleChange)
        fields = body.model_dump(exclude_none=True, exclude={"options", "misfire", "overlap", "jitter_seconds"})
        change = pb.UpdateScheduleRequest(tenant=caller.tenant, schedule_id=schedule_id, **fields)
        if body.misfire is not None:
            change.misfire = answers.MISFIRES[body.misfire]
        if body.overlap is not None:
            change.overlap = answers.OVERLAPS[body.overlap]
        if body.jitter_seconds is not None:
            change.jitter.FromSeconds(body.jitter_seconds)
        if body.options is not None:
            change.options_json = _options(await json_object(request))
        return answers.schedule(await self._scheduler.update(change))

    @Route("DELETE", ONE, "schedules:write", (204, None), faults=(404,), action="schedule.delete")
    async def delete(self, request: web.Request, caller: Caller) -> None:
        """Delete a schedule."""
        await self._scheduler.delete(caller.tenant, id_in_path(request, "schedule"))

    @Route(
        "POST",
        f"{ONE}/run",
        "schedules:write",
        (202, answers.Run),
        [KEY_PARAMETER],
        faults=(404, 422),
        action="schedule.run",
    )
    async def run(self, request: web.Request, caller: Caller) -> answers.Run:
        """Run a schedule now.

        A paused schedule runs too.
        """
        request_id = idempotency_key(request) or uuid.uuid4().hex
        return answers.run(await self._scheduler.run(caller.tenant, id_in_path(request, "schedule"), request_id))

    @Route("GET", f"{ONE}/runs", "schedules:read", (200, answers.RunPage), LIST_PARAMETERS, faults=(404, 422))
    async def runs(self, request: web.Request, caller: Caller) -> answers.RunPage:
        """List a schedule's runs, newest first."""
        schedule_id = id_in_path(request, "schedule")
        wanted = requested_page(request.query)
        found = await self._scheduler.runs(caller.tenant, schedule_id, wanted.limit, wanted.cursor)
        items = [answers.run(one) for one in found.runs]
        return answers.RunPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", f"{ONE}/upcoming", "schedules:read", (200, answers.Upcoming), COUNT_PARAMETERS, faults=(404, 422))
    async def upcoming(self, request: web.Request, caller: Caller) -> answers.Upcoming:
        """The next fire times of a schedule."""
        schedule_id = id_in_path(request, "schedule")
        count = whole_number(request.query, "count", DEFAULT_TIMES, MAX_TIMES)
        return answers.upcoming(await self._scheduler.upcoming(caller.tenant, schedule_id, count))


def _options(body: str) -> str:
    """The options in a valid body, as the text that was sent."""
    return dict(members(body)).get("options", "{}")
