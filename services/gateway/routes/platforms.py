"""Platforms: register, test, change and delete the places that files are delivered to."""

import json
import uuid

from aiohttp import web

from services.gateway.answers import platforms as answers
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.errors import BadQuery, PlatformInUse
from services.gateway.http.bodies import parse_body
from services.gateway.http.ids import id_in_path
from services.gateway.http.pages import LIST_PARAMETERS, requested_page
from services.gateway.http.route import PREFIX, Caller, Parameter, Route, respond
from services.wire import delivery_pb2 as pb

ALL, ONE = "/exports/platforms", "/exports/platforms/{platform_id}"
MAX_NAMED = 20
"""Schedules that are named when a platform cannot be deleted because of them."""
FORCE = Parameter("force", "Delete it even if schedules deliver to it.", {"type": "boolean", "default": False})


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
        body=answers.NewPlatform,
        action="platform.create",
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        """Register a platform."""
        body = await parse_body(request, answers.NewPlatform)
        made = await self._delivery.create_platform(
            pb.CreatePlatformRequest(
                tenant=caller.tenant,
                name=body.name,
                platform_type=body.platform_type,
                config_json=json.dumps(body.config),
                is_active=body.is_active,
                platform_id=str(uuid.uuid4()),
            )
        )
        headers = {"Location": f"{PREFIX}/exports/platforms/{made.id}"}
        return respond(answers.registered(made), 201, headers)

    @Route("GET", ALL, "platforms:read", (200, answers.PlatformPage), parameters=LIST_PARAMETERS, faults=(422,))
    async def list(self, request: web.Request, caller: Caller) -> answers.PlatformPage:
        """List platforms, newest first."""
        wanted = requested_page(request.query)
        found = await self._delivery.platforms(caller.tenant, wanted.limit, wanted.cursor)
        items = [answers.platform(one) for one in found.platforms]
        return answers.PlatformPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", ONE, "platforms:read", (200, answers.Platform), faults=(404,))
    async def get(self, request: web.Request, caller: Caller) -> answers.Platform:
        """Get a platform."""
        return answers.platform(await self._delivery.platform(caller.tenant, id_in_path(request, "platform")))

    @Route(
        "PATCH",
        ONE,
        "platforms:write",
        (200, answers.Platform),
        body=answers.PlatformChange,
        faults=(404, 409),
        action="platform.update",
    )
    async def change(self, request: web.Request, caller: Caller) -> answers.Platform:
        """Change a platform."""
        platform_id = id_in_path(request, "platform")
        body = await parse_body(request, answers.PlatformChange)
        fields = body.model_dump(exclude_none=True, exclude={"config"})
        change = pb.UpdatePlatformRequest(tenant=caller.tenant, platform_id=platform_id, **fields)
        if body.config is not None:
            change.config_json = json.dumps(body.config)
        return answers.platform(await self._delivery.update_platform(change))

    @Route(
        "DELETE",
        ONE,
        "platforms:write",
        (204, None),
        parameters=[FORCE],
        faults=(404, 409, 422),
        action="platform.delete",
    )
    async def delete(self, request: web.Request, caller: Caller) -> None:
        """Delete a platform.

        Raises:
            PlatformInUse: schedules deliver to it, and `force` is not true.
        """
        platform_id = id_in_path(request, "platform")
        force = request.query.get(FORCE.name, "false")
        if force not in ("true", "false"):
            raise BadQuery(FORCE.name, "must be true or false")
        if force == "false" and self._scheduler is not None:
            users = await self._scheduler.list(caller.tenant, MAX_NAMED, "", platform_id)
            if users.schedules:
                names = [f"{one.schedule_name!r} ({one.id})" for one in users.schedules]
                raise PlatformInUse(names, more=bool(users.next_page_token))
        await self._delivery.delete_platform(caller.tenant, platform_id)

    @Route("POST", f"{ONE}/test", "platforms:write", (200, answers.PlatformTest), faults=(404,), action="platform.test")
    async def test(self, request: web.Request, caller: Caller) -> answers.PlatformTest:
        """Test a platform: connect, write a file, read it back, delete it.

        A failed step is part of the result, not an error.
        """
        return answers.test(await self._delivery.test_platform(caller.tenant, id_in_path(request, "platform")))
