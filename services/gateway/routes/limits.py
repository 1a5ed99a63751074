"""The limits of a tenant and its usage, collected from the services that enforce them."""

import asyncio

from aiohttp import web

from services.chassis.faults import Fault
from services.gateway.answers.models import Limits, Notice, RequestsLeft, Usage
from services.gateway.auth.authenticator import ALLOWANCE
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.http.route import Caller, Route


class LimitRoutes:
    """`/limits`."""

    def __init__(
        self, exporter: ExporterClient, delivery: DeliveryClient | None, scheduler: SchedulerClient | None
    ) -> None:
        self._exporter = exporter
        self._delivery = delivery
        self._scheduler = scheduler

    @Route("GET", "/limits", "", (200, Limits))
    async def get(self, request: web.Request, caller: Caller) -> Limits:
        """Limits and usage.

        The part of a service that does not answer is missing.
        """
        parts = [self._jobs(caller.tenant), self._platforms(caller.tenant), self._schedules(caller.tenant)]
        usages: dict[str, Usage] = {}
        notes: list[Notice] = []
        for found in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(found, Fault):
                notes.append(Notice(code=found.code, message=found.message))
            elif isinstance(found, BaseException):
                raise found
            else:
                usages |= found
        allowance = request[ALLOWANCE]
        requests = RequestsLeft(limit=allowance.limit, left=allowance.remaining)
        return Limits(**usages, requests_per_minute=requests, notes=notes or None)

    async def _jobs(self, tenant: str) -> dict[str, Usage]:
        found = await self._exporter.usage(tenant)
        limit = found.max_artifact_bytes if found.HasField("max_artifact_bytes") else None
        return {
            "jobs": Usage(used=found.live_jobs, limit=found.max_live_jobs),
            "artifact_bytes": Usage(used=found.artifact_bytes, limit=limit),
        }

    async def _platforms(self, tenant: str) -> dict[str, Usage]:
        if self._delivery is None:
            return {}
        found = await self._delivery.usage(tenant)
        return {"platforms": Usage(used=found.platforms, limit=found.max_platforms)}

    async def _schedules(self, tenant: str) -> dict[str, Usage]:
        if self._scheduler is None:
            return {}
        found = await self._scheduler.usage(tenant)
        return {"schedules": Usage(used=found.schedules, limit=found.max_schedules)}
