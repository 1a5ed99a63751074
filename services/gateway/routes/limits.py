"""Who calls, the limits of a tenant and its usage, collected from the services that enforce them."""

import asyncio

from aiohttp import web

from services.chassis.faults import Fault
from services.gateway.answers.models import Limits, Me, Notice, RequestsLeft, Usage
from services.gateway.auth.authenticator import ALLOWANCE, KEY
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.clients.profiles import ProfileClient
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.clients.webhooks import WebhookClient
from services.gateway.http.route import Caller, Route


class LimitRoutes:
    """`/limits` and `/me`."""

    def __init__(
        self,
        exporter: ExporterClient,
        profiles: ProfileClient,
        delivery: DeliveryClient | None,
        webhooks: WebhookClient | None,
        scheduler: SchedulerClient | None,
    ) -> None:
        self._exporter = exporter
        self._profiles = profiles
        self._delivery = delivery
        self._webhooks = webhooks
        self._scheduler = scheduler

    @Route("GET", "/limits", "", (200, Limits))
    async def get_limits(self, request: web.Request, caller: Caller) -> Limits:
        """Limits and usage.

        The part of a service that does not answer is missing.
        """
        return await self._limits(request, caller.tenant)

    @Route("GET", "/me", "", (200, Me))
    async def get_me(self, request: web.Request, caller: Caller) -> Me:
        """The tenant and the API key of the request, with limits and usage."""
        key = request[KEY]
        return Me(
            tenant=key.tenant,
            key_id=key.id,
            key_name=key.name,
            scopes=sorted(key.scopes),
            key_expires_at=key.expires_at,
            limits=await self._limits(request, caller.tenant),
        )

    async def _limits(self, request: web.Request, tenant: str) -> Limits:
        parts = [
            self._jobs(tenant),
            self._profile_usage(tenant),
            self._platforms(tenant),
            self._webhook_usage(tenant),
            self._schedules(tenant),
        ]
        usages: dict[str, Usage] = {}
        notes: dict[str, Notice] = {}
        for found in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(found, Fault):
                notes[found.code] = Notice(code=found.code, message=found.message)
            elif isinstance(found, BaseException):
                raise found
            else:
                usages |= found
        allowance = request[ALLOWANCE]
        requests = RequestsLeft(limit=allowance.limit, left=allowance.remaining)
        return Limits(**usages, requests_per_minute=requests, notes=list(notes.values()) or None)

    async def _jobs(self, tenant: str) -> dict[str, Usage]:
        found = await self._exporter.usage(tenant)
        limit = found.max_artifact_bytes if found.HasField("max_artifact_bytes") else None
        return {
            "jobs": Usage(used=found.live_jobs, limit=found.max_live_jobs),
            "artifact_bytes": Usage(used=found.artifact_bytes, limit=limit),
        }

    async def _profile_usage(self, tenant: str) -> dict[str, Usage]:
        found = await self._profiles.usage(tenant)
        return {"profiles": Usage(used=found.profiles, limit=found.max_profiles)}

    async def _platforms(self, tenant: str) -> dict[str, Usage]:
        if self._delivery is None:
            return {}
        found = await self._delivery.usage(tenant)
        return {"platforms": Usage(used=found.platforms, limit=found.max_platforms)}

    async def _webhook_usage(self, tenant: str) -> dict[str, Usage]:
        if self._webhooks is None:
            return {}
        found = await self._webhooks.usage(tenant)
        return {"webhooks": Usage(used=found.webhooks, limit=found.max_webhooks)}

    async def _schedules(self, tenant: str) -> dict[str, Usage]:
        if self._scheduler is None:
            return {}
        found = await self._scheduler.usage(tenant)
        return {"schedules": Usage(used=found.schedules, limit=found.max_schedules)}
