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
from services.gateway.http.pages import LIST_PARAMETERS, check_parameters, requested_page, whole_number
from services.gateway.http.route import PREFIX, Caller, Parameter, Route
from services.wire import scheduler_pb2 as pb

DEFAULT_TIMES, MAX_TIMES = 10, 100
COUNT_PARAMETERS = (
    Parameter("count", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_TIMES, "default": DEFAULT_TIMES}),
)


class ScheduleRoutes:
    """`/exports/schedules`."""

    def __init__(self, scheduler: SchedulerClient) -> None:
        self._scheduler = scheduler

    def routes(self) -> list[Route]:
        """All of them; `preview` must come before the paths with an id."""
        all_, one = "/exports/schedules", "/exports/schedules/{schedule_id}"
        read, write = "schedules:read", "schedules:write"
        lists, shown = LIST_PARAMETERS, answers.Schedule
        return [
            Route(
                "POST",
                all_,
                self.create,
                write,
                "Create a schedule",
                (201, answers.MadeSchedule),
                body=answers.NewSchedule,
            ),
            Route(
                "GET",
                all_,
                self.list,
                read,
                "List schedules, newest first",
                (200, answers.SchedulePage),
                parameters=lists,
                faults=(422,),
            ),
            Route(
                "POST",
                f"{all_}/preview",
                self.preview,
                read,
                "The next fire times of an expression",
                (200, answers.Upcoming),
                body=answers.Preview,
            ),
            Route("GET", one, self.get, read, "Get a schedule", (200, shown), faults=(404,)),
            Route(
                "PATCH",
                one,
                self.change,
                write,
                "Change a schedule",
                (200, shown),
                body=answers.ScheduleChange,
                faults=(404, 409),
            ),
            Route("DELETE", one, self.delete, write, "Delete a schedule", (204, None), faults=(404,)),
            Route(
                "POST",
                f"{one}/run",
                self.run,
                write,
                "Run a schedule now",
                (202, answers.Run),
                parameters=[KEY_PARAMETER],
                faults=(404, 422),
            ),
            Route(
                "GET",
                f"{one}/runs",
                self.runs,
                read,
                "List a schedule's runs, newest first",
                (200, answers.RunPage),
                parameters=lists,
                faults=(404, 422),
            ),
            Route(
                "GET",
                f"{one}/upcoming",
                self.upcoming,
                read,
                "The next fire times of a schedule",
                (200, answers.Upcoming),
                parameters=COUNT_PARAMETERS,
                faults=(404, 422),
            ),
        ]

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
        return web.json_response(text=answers.made(found).text(), status=201, headers=headers)

    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        """A page of schedules."""
        wanted = requested_page(request.query)
        found = await self._scheduler.list(caller.tenant, wanted.limit, wanted.cursor)
        page = answers.SchedulePage(
            items=[answers.schedule(one) for one in found.schedules], next_cursor=found.next_page_token or None
        )
        return web.json_response(text=page.text())

    async def preview(self, request: web.Request, caller: Caller) -> web.Response:  # noqa: ARG002  the same for every tenant
        """The next fire times of an expression."""
        body = await parse_body(request, answers.Preview)
        found = await self._scheduler.preview(body.cron_expression, body.timezone, body.count)
        return web.json_response(text=answers.upcoming(found).text())

    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        """One schedule."""
        found = await self._scheduler.get(caller.tenant, id_in_path(request, "schedule"))
        return web.json_response(text=answers.schedule(found).text())

    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        """Change the given fields."""
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
        return web.json_response(text=answers.schedule(await self._scheduler.update(change)).text())

    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        """Delete a schedule."""
        await self._scheduler.delete(caller.tenant, id_in_path(request, "schedule"))
        return web.Response(status=204)

    async def run(self, request: web.Request, caller: Caller) -> web.Response:
        """Run a schedule now, also if it is paused."""
        request_id = idempotency_key(request) or uuid.uuid4().hex
        found = await self._scheduler.run(caller.tenant, id_in_path(request, "schedule"), request_id)
        return web.json_response(text=answers.run(found).text(), status=202)

    async def runs(self, request: web.Request, caller: Caller) -> web.Response:
        """A page of runs."""
        schedule_id = id_in_path(request, "schedule")
        wanted = requested_page(request.query)
        found = await self._scheduler.runs(caller.tenant, schedule_id, wanted.limit, wanted.cursor)
        page = answers.RunPage(
            items=[answers.run(one) for one in found.runs], next_cursor=found.next_page_token or None
        )
        return web.json_response(text=page.text())

    async def upcoming(self, request: web.Request, caller: Caller) -> web.Response:
        """The next fire times of a schedule."""
        schedule_id = id_in_path(request, "schedule")
        check_parameters(request.query, COUNT_PARAMETERS)
        count = whole_number(request.query, "count", DEFAULT_TIMES, MAX_TIMES)
        found = await self._scheduler.upcoming(caller.tenant, schedule_id, count)
        return web.json_response(text=answers.upcoming(found).text())


def _options(body: str) -> str:
    """The options in a valid body, as the text that was sent."""
    return dict(members(body)).get("options", "{}")
