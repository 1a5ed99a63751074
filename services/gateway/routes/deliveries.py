"""The deliveries of a job: list them, deliver again, deliver to another platform."""

from aiohttp import web

from services.gateway.answers import platforms as answers
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.bodies import parse_body
from services.gateway.http.ids import job_id_in_path
from services.gateway.http.pages import LIST_PARAMETERS, requested_page
from services.gateway.http.route import Caller, Route

PATH = "/exports/jobs/{job_id}/deliveries"


class DeliveryRoutes:
    """`/exports/jobs/{id}/deliveries`."""

    def __init__(self, exporter: ExporterClient, delivery: DeliveryClient) -> None:
        self._exporter = exporter
        self._delivery = delivery

    @Route("GET", PATH, "exports:read", (200, answers.DeliveryPage), parameters=LIST_PARAMETERS, faults=(404, 422))
    async def list(self, request: web.Request, caller: Caller) -> answers.DeliveryPage:
        """Where a job's file was delivered."""
        job_id = job_id_in_path(request)
        wanted = requested_page(request.query)
        job = await self._exporter.get(caller.tenant, job_id)  # 404 for another tenant's job
        found = await self._delivery.deliveries(job, wanted.limit, wanted.cursor)
        items = [answers.delivery(one) for one in found.deliveries]
        return answers.DeliveryPage(items=items, next_cursor=found.next_page_token or None)

    @Route(
        "POST",
        PATH,
        "exports:write",
        (202, answers.Delivery),
        body=answers.NewDelivery,
        faults=(404, 409),
        action="job.deliver",
    )
    async def deliver(self, request: web.Request, caller: Caller) -> answers.Delivery:
        """Deliver a job's file again, or to another platform."""
        job_id = job_id_in_path(request)
        body = await parse_body(request, answers.NewDelivery)
        await self._exporter.get(caller.tenant, job_id)
        return answers.delivery(await self._delivery.deliver(caller.tenant, job_id, body.platform_id))
