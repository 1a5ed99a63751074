"""Schedules of recurring exports, their runs, and their next fire times."""

import uuid

from aiohttp import web

from services.chassis.timestamps import to_duration
from services.gateway.answers import schedules as answers
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.http.bodies import json_object, options_in, parse_body
from services.gateway.http.etags import IF_MATCH, IF_NONE_MATCH, expected
from services.gateway.http.idempotency import KEY_PARAMETER, REPLAYED, chosen_id, idempotency_key, naming_the_key
from services.gateway.http.ids import id_in_path
from services.gateway.http.pages import (
    ACTIVE_PARAMETER,
    LIST_PARAMETERS,
    chosen,
    flag,
    one_of,
    requested_page,
    whole_number,
)
from services.gateway.http.route import PREFIX, Caller, Parameter, Route, respond
from services.wire import scheduler_pb2 as pb

ALL, ONE = "/exports/schedules", "/exports/schedules/{schedule_id}"
DEFAULT_TIMES, MAX_TIMES = 10, 100
COUNT_PARAMETERS = (
    Parameter("count", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_TIMES, "default": DEFAULT_TIMES}),
)

SCHEDULE_FILTERS = (
    *LIST_PARAMETERS,
    Parameter("name", "Only schedules whose name contains this, in upper or lower case."),
    Parameter("platform", "Only schedules that deliver to the platform with this id."),
    Parameter("profile", "Only schedules that export the profile with this id."),
    ACTIVE_PARAMETER,
)
RUN_FILTERS = (
    *LIST_PARAMETERS,
    Parameter("status", "Only runs of these statuses.", one_of(answers.RUN_STATUSES.values())),
)


class ScheduleRoutes:
    """`/exports/schedules`."""

    def __init__(self, scheduler: SchedulerClient) -> None:
        self._scheduler = scheduler

    @Route(
        "POST",
        ALL,
        "schedules:write",
        (201, answers.MadeSchedule),
        parameters=[KEY_PARAMETER],
        body=answers.NewSchedule,
        action="schedule.create",
        headers=("Location", "Idempotent-Replayed"),
    )
    async def create_schedule(self, request: web.Request, caller: Caller) -> web.Response:
        """Create a schedule."""
        key, body = idempotency_key(request), await parse_body(request, answers.NewSchedule)
        new = pb.CreateScheduleRequest(
            tenant=caller.tenant,
            platform_id=body.platform_id,
            schedule_name=body.schedule_name,
            cron_expression=body.cron_expression,
            timezone=body.timezone,
            is_active=body.is_active,
            misfire=answers.MISFIRES[body.misfire],
            overlap=answers.OVERLAPS[body.overlap],
            jitter=to_duration(body.jitter_seconds),
            changes=body.changes,
            skip_empty=body.empty == "skip",
            full_every=body.full_every,
            schedule_id=chosen_id("schedule", caller.tenant, key),
        )
        if body.profile_id is not None:
            new.profile_id = body.profile_id
        if body.profile_id is None or {"format", "options"} & body.model_fields_set:  # both: the scheduler refuses it
            new.format, new.options_json = body.format, options_in(await json_object(request))
        with naming_the_key(key):
            made = await self._scheduler.create(new)
        headers = {"Location": f"{PREFIX}/exports/schedules/{made.schedule.id}"}
        return respond(answers.made(made.schedule), 201, {**headers, **(REPLAYED if made.is_replay else {})})

    @Route("GET", ALL, "schedules:read", (200, answers.SchedulePage), parameters=SCHEDULE_FILTERS, faults=(422,))
    async def list_schedules(self, request: web.Request, caller: Caller) -> answers.SchedulePage:
        """List schedules, newest first."""
        wanted = requested_page(request.query)
        query = request.query
        found = await self._scheduler.list(
            pb.ListSchedulesRequest(
                tenant=caller.tenant,
                page_size=wanted.limit,
                page_token=wanted.cursor,
                name_contains=query.get("name", ""),
                platform_id=query.get("platform", ""),
                profile_id=query.get("profile", ""),
                is_active=flag(query, "is_active"),
            )
        )
        items = [answers.schedule(one) for one in found.schedules]
        return answers.SchedulePage(items=items, next_cursor=found.next_page_token or None)

    # Before the routes with an id in their path.
    @Route("POST", f"{ALL}/preview", "schedules:read", (200, answers.Upcoming), body=answers.Preview)
    async def preview_schedule(self, request: web.Request, caller: Caller) -> answers.Upcoming:  # noqa: ARG002  the same for every tenant
        """The next fire times of an expression."""
        body = await parse_body(request, answers.Preview)
        return answers.upcoming(await self._scheduler.preview(body.cron_expression, body.timezone, body.count))

    @Route("GET", ONE, "schedules:read", (200, answers.Schedule), [IF_NONE_MATCH], faults=(404,), has_etag=True)
    async def get_schedule(self, request: web.Request, caller: Caller) -> answers.Schedule:
        """Get a schedule."""
        return answers.schedule(await self._scheduler.get(caller.tenant, id_in_path(request, "schedule")))

    @Route(
        "PATCH",
        ONE,
        "schedules:write",
        (200, answers.Schedule),
        parameters=[IF_MATCH],
        body=answers.ScheduleChange,
        faults=(404, 409, 412),
        action="schedule.update",
    )
    async def update_schedule(self, request: web.Request, caller: Caller) -> answers.Schedule:
        """Change a schedule."""
        schedule_id = id_in_path(request, "schedule")
        body = await parse_body(request, answers.ScheduleChange)
        fields = body.model_dump(
            exclude_none=True, exclude={"options", "misfire", "overlap", "jitter_seconds", "empty"}
        )
        change = pb.UpdateScheduleRequest(
            tenant=caller.tenant, schedule_id=schedule_id, expected_updated_at=expected(request), **fields
        )
        if body.misfire is not None:
            change.misfire = answers.MISFIRES[body.misfire]
        if body.overlap is not None:
            change.overlap = answers.OVERLAPS[body.overlap]
        if body.empty is not None:
            change.skip_empty = body.empty == "skip"
        if body.jitter_seconds is not None:
            change.jitter.FromSeconds(body.jitter_seconds)
        if body.options is not None:
            change.options_json = options_in(await json_object(request))
        return answers.schedule(await self._scheduler.update(change))

    @Route(
        "DELETE",
        ONE,
        "schedules:write",
        (204, None),
        [IF_MATCH],
        faults=(404, 412),
        action="schedule.delete",
    )
    async def delete_schedule(self, request: web.Request, caller: Caller) -> None:
        """Delete a schedule."""
        await self._scheduler.delete(caller.tenant, id_in_path(request, "schedule"), expected(request))

    @Route(
        "POST",
        f"{ONE}/run",
        "schedules:write",
        (202, answers.Run),
        [KEY_PARAMETER],
        faults=(404, 422),
        action="schedule.run",
        headers=("Location", "Idempotent-Replayed"),
    )
    async def run_schedule(self, request: web.Request, caller: Caller) -> web.Response:
        """Run a schedule now.

        A paused schedule runs too.
        """
        key = idempotency_key(request)
        schedule_id = id_in_path(request, "schedule")
        made = await self._scheduler.run(caller.tenant, schedule_id, key or uuid.uuid4().hex)
        headers = {"Location": f"{PREFIX}{ALL}/{schedule_id}/runs/{made.run.id}"}
        # The job's id is known before the job exists.
        run = answers.run(made.run).model_copy(update={"job_id": made.run.id})
        return respond(run, 202, {**headers, **(REPLAYED if key and made.is_replay else {})})

    @Route("GET", f"{ONE}/runs", "schedules:read", (200, answers.RunPage), RUN_FILTERS, faults=(404, 422))
    async def list_runs(self, request: web.Request, caller: Caller) -> answers.RunPage:
        """List a schedule's runs, newest first."""
        schedule_id = id_in_path(request, "schedule")
        wanted = requested_page(request.query)
        found = await self._scheduler.runs(
            pb.ListRunsRequest(
                tenant=caller.tenant,
                schedule_id=schedule_id,
                page_size=wanted.limit,
                page_token=wanted.cursor,
                states=chosen(request.query, "status", answers.RUN_STATUSES),
            )
        )
        items = [answers.run(one) for one in found.runs]
        return answers.RunPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", f"{ONE}/runs/{{run_id}}", "schedules:read", (200, answers.Run), faults=(404,))
    async def get_run(self, request: web.Request, caller: Caller) -> answers.Run:
        """Get a run of a schedule."""
        schedule_id, run_id = id_in_path(request, "schedule"), id_in_path(request, "run")
        return answers.run(await self._scheduler.get_run(caller.tenant, schedule_id, run_id))

    @Route("GET", f"{ONE}/baseline", "schedules:read", (200, answers.Baseline), faults=(404,))
    async def get_baseline(self, request: web.Request, caller: Caller) -> answers.Baseline:
        """What a schedule's next file with changes is based on."""
        return answers.baseline(await self._scheduler.baseline(caller.tenant, id_in_path(request, "schedule")))

    @Route(
        "POST",
        f"{ONE}/baseline/reset",
        "schedules:write",
        (204, None),
        faults=(404,),
        action="schedule.reset_baseline",
    )
    async def reset_baseline(self, request: web.Request, caller: Caller) -> None:
        """Let a schedule's next file have all rows."""
        await self._scheduler.reset_baseline(caller.tenant, id_in_path(request, "schedule"))

    @Route("GET", f"{ONE}/upcoming", "schedules:read", (200, answers.Upcoming), COUNT_PARAMETERS, faults=(404, 422))
    async def list_upcoming_times(self, request: web.Request, caller: Caller) -> answers.Upcoming:
        """The next fire times of a schedule."""
        schedule_id = id_in_path(request, "schedule")
        count = whole_number(request.query, "count", DEFAULT_TIMES, MAX_TIMES)
        return answers.upcoming(await self._scheduler.upcoming(caller.tenant, schedule_id, count))
