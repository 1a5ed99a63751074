"""The deliveries of a job: list them, deliver again, deliver to another platform."""

from aiohttp import web

from services.gateway.answers import platforms as answers
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.bodies import parse_body
from services.gateway.http.ids import job_id_in_path
from services.gateway.http.pages import LIST_PARAMETERS, requested_page
from services.gateway.http.route import Caller, Route


class DeliveryRoutes:
    """`/exports/jobs/{id}/deliveries`."""

    def __init__(self, exporter: ExporterClient, delivery: DeliveryClient) -> None:
        self._exporter = exporter
        self._delivery = delivery

    def routes(self) -> list[Route]:
        """All of them."""
        path = "/exports/jobs/{job_id}/deliveries"
        return [
            Route(
                "GET",
                path,
                self.list,
                "exports:read",
                "Where a job's file was delivered",
                (200, answers.DeliveryPage),
                parameters=LIST_PARAMETERS,
                faults=(404, 422),
            ),
            Route(
                "POST",
                path,
                self.deliver,
                "exports:write",
                "Deliver a job's file again, or to another platform",
                (202, answers.Delivery),
                body=answers.NewDelivery,
                faults=(404, 409),
            ),
        ]

    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        """A page of the job's deliveries."""
        job_id = job_id_in_path(request)
        wanted = requested_page(request.query)
        job = await self._exporter.get(caller.tenant, job_id)  # 404 for another tenant's job
        found = await self._delivery.deliveries(job, wanted.limit, wanted.cursor)
        page = answers.DeliveryPage(
            items=[answers.delivery(one) for one in found.deliveries], next_cursor=found.next_page_token or None
        )
        return web.json_response(text=page.text())

    async def deliver(self, request: web.Request, caller: Caller) -> web.Response:
        """Deliver the job's file to a platform."""
        job_id = job_id_in_path(request)
        body = await parse_body(request, answers.NewDelivery)
        await self._exporter.get(caller.tenant, job_id)
        made = await self._delivery.deliver(caller.tenant, job_id, body.platform_id)
        return web.json_response(text=answers.delivery(made).text(), status=202)
