"""Platforms: register, test, change and delete the places that files are delivered to."""

import json

from aiohttp import web

from services.gateway.answers import platforms as answers
from services.gateway.answers.described import NAME_OF, PLATFORM_TYPES
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.errors import PlatformInUse
from services.gateway.http.bodies import parse_body
from services.gateway.http.etags import IF_MATCH, IF_NONE_MATCH, expected
from services.gateway.http.idempotency import KEY_PARAMETER, REPLAYED, chosen_id, idempotency_key, naming_the_key
from services.gateway.http.ids import id_in_path
from services.gateway.http.pages import ACTIVE_PARAMETER, LIST_PARAMETERS, flag, requested_page
from services.gateway.http.route import PREFIX, Caller, Parameter, Route, respond
from services.wire import delivery_pb2 as pb
from services.wire import scheduler_pb2

ALL, ONE = "/exports/platforms", "/exports/platforms/{platform_id}"
MAX_NAMED = 20
"""Schedules that are named when a platform cannot be deleted because of them."""
FORCE = Parameter("force", "Delete it even if schedules deliver to it.", {"type": "boolean", "default": False})

PLATFORM_FILTERS = (
    *LIST_PARAMETERS,
    Parameter("name", "Only platforms whose name contains this, in upper or lower case."),
    Parameter("platform_type", "Only platforms of this type.", {NAME_OF: PLATFORM_TYPES}),
    ACTIVE_PARAMETER,
)


class PlatformRoutes:
    """`/exports/platforms`."""

    def __init__(self, delivery: DeliveryClient, scheduler: SchedulerClient | None) -> None:
        self._delivery = delivery
        self._scheduler = scheduler

    @Route(
        "POST",
        ALL,
        "platforms:write",
        (201, answers.RegisteredPlatform),
        parameters=[KEY_PARAMETER],
        body=answers.NewPlatform,
        action="platform.create",
        headers=("Location", "Idempotent-Replayed"),
    )
    async def create_platform(self, request: web.Request, caller: Caller) -> web.Response:
        """Register a platform."""
        key, body = idempotency_key(request), await parse_body(request, answers.NewPlatform)
        new = pb.CreatePlatformRequest(
            tenant=caller.tenant,
            name=body.name,
            platform_type=body.platform_type,
            config_json=json.dumps(body.config),
            is_active=body.is_active,
            platform_id=chosen_id("platform", caller.tenant, key),
        )
        with naming_the_key(key):
            made = await self._delivery.create_platform(new)
        headers = {"Location": f"{PREFIX}/exports/platforms/{made.platform.id}"}
        return respond(answers.registered(made.platform), 201, {**headers, **(REPLAYED if made.is_replay else {})})

    @Route("GET", ALL, "platforms:read", (200, answers.PlatformPage), parameters=PLATFORM_FILTERS, faults=(422,))
    async def list_platforms(self, request: web.Request, caller: Caller) -> answers.PlatformPage:
        """List platforms, newest first."""
        query, wanted = request.query, requested_page(request.query)
        found = await self._delivery.platforms(
            pb.ListPlatformsRequest(
                tenant=caller.tenant,
                page_size=wanted.limit,
                page_token=wanted.cursor,
                name_contains=query.get("name", ""),
                platform_type=query.get("platform_type", ""),
                is_active=flag(query, "is_active"),
            )
        )
        items = [answers.platform(one) for one in found.platforms]
        return answers.PlatformPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", ONE, "platforms:read", (200, answers.Platform), [IF_NONE_MATCH], faults=(404,), has_etag=True)
    async def get_platform(self, request: web.Request, caller: Caller) -> answers.Platform:
        """Get a platform."""
        return answers.platform(await self._delivery.platform(caller.tenant, id_in_path(request, "platform")))

    @Route(
        "PATCH",
        ONE,
        "platforms:write",
        (200, answers.Platform),
        parameters=[IF_MATCH],
        body=answers.PlatformChange,
        faults=(404, 409, 412),
        action="platform.update",
    )
    async def update_platform(self, request: web.Request, caller: Caller) -> answers.Platform:
        """Change a platform."""
        platform_id = id_in_path(request, "platform")
        body = await parse_body(request, answers.PlatformChange)
        fields = body.model_dump(exclude_none=True, exclude={"config"})
        change = pb.UpdatePlatformRequest(
            tenant=caller.tenant, platform_id=platform_id, expected_updated_at=expected(request), **fields
        )
        if body.config is not None:
            change.config_json = json.dumps(body.config)
        return answers.platform(await self._delivery.update_platform(change))

    @Route(
        "DELETE",
        ONE,
        "platforms:write",
        (204, None),
        parameters=[FORCE, IF_MATCH],
        faults=(404, 409, 412, 422),
        action="platform.delete",
    )
    async def delete_platform(self, request: web.Request, caller: Caller) -> None:
        """Delete a platform.

        Raises:
            PlatformInUse: schedules deliver to it, and `force` is not true.
        """
        platform_id = id_in_path(request, "platform")
        if not flag(request.query, FORCE.name) and self._scheduler is not None:
            named = scheduler_pb2.ListSchedulesRequest(
                tenant=caller.tenant, platform_id=platform_id, page_size=MAX_NAMED
            )
            users = await self._scheduler.list(named)
            if users.schedules:
                names = [f"{one.schedule_name!r} ({one.id})" for one in users.schedules]
                raise PlatformInUse(names, more=bool(users.next_page_token))
        await self._delivery.delete_platform(caller.tenant, platform_id, expected(request))

    @Route("POST", f"{ONE}/test", "platforms:write", (200, answers.PlatformTest), faults=(404,), action="platform.test")
    async def test_platform(self, request: web.Request, caller: Caller) -> answers.PlatformTest:
        """Test a platform: connect, write a file, read it back, delete it.

        A failed step is part of the result, not an error.
        """
        return answers.test(await self._delivery.test_platform(caller.tenant, id_in_path(request, "platform")))
