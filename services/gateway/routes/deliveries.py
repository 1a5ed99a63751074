"""Deliveries: those of a job, those of all jobs; deliver again, deliver to another platform."""

from aiohttp import web

from services.chassis.timestamps import to_timestamp
from services.gateway.answers import platforms as answers
from services.gateway.answers.jobs import DELIVERY_STATUSES
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.bodies import parse_body
from services.gateway.http.idempotency import KEY_PARAMETER, REPLAYED, idempotency_key
from services.gateway.http.ids import job_id_in_path
from services.gateway.http.pages import (
    CREATED_PARAMETERS,
    LIST_PARAMETERS,
    chosen,
    id_of,
    is_oldest_first,
    one_of,
    requested_page,
    time_of,
)
from services.gateway.http.route import Caller, Parameter, Route, respond
from services.wire import delivery_pb2 as pb

PATH, ALL = "/exports/jobs/{job_id}/deliveries", "/exports/deliveries"
ALL_PARAMETERS = (
    *LIST_PARAMETERS,
    *CREATED_PARAMETERS,
    Parameter("status", "Only deliveries of these statuses.", one_of(DELIVERY_STATUSES.values())),
    Parameter("platform", "Only deliveries to the platform with this id.", {"type": "string", "format": "uuid"}),
)


class DeliveryRoutes:
    """`/exports/jobs/{id}/deliveries` and `/exports/deliveries`."""

    def __init__(self, exporter: ExporterClient, delivery: DeliveryClient) -> None:
        self._exporter = exporter
        self._delivery = delivery

    @Route("GET", PATH, "exports:read", (200, answers.DeliveryPage), parameters=LIST_PARAMETERS, faults=(404, 422))
    async def list_job_deliveries(self, request: web.Request, caller: Caller) -> answers.DeliveryPage:
        """Where a job's file was delivered."""
        job_id = job_id_in_path(request)
        wanted = requested_page(request.query)
        job = await self._exporter.get(caller.tenant, job_id)  # 404 for another tenant's job
        found = await self._delivery.deliveries(job, wanted.limit, wanted.cursor)
        items = [answers.delivery(one) for one in found.deliveries]
        return answers.DeliveryPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", ALL, "exports:read", (200, answers.DeliveryPage), parameters=ALL_PARAMETERS)
    async def list_deliveries(self, request: web.Request, caller: Caller) -> answers.DeliveryPage:
        """List the deliveries of all jobs."""
        query, wanted = request.query, requested_page(request.query)
        found = await self._delivery.all_deliveries(
            pb.ListDeliveriesRequest(
                tenant=caller.tenant,
                platform_id=id_of(query, "platform"),
                states=chosen(query, "status", DELIVERY_STATUSES),
                page_size=wanted.limit,
                page_token=wanted.cursor,
                created_after=to_timestamp(time_of(query, "created_after")),
                created_before=to_timestamp(time_of(query, "created_before")),
                oldest_first=is_oldest_first(query),
            )
        )
        items = [answers.delivery(one) for one in found.deliveries]
        return answers.DeliveryPage(items=items, next_cursor=found.next_page_token or None)

    @Route(
        "POST",
        PATH,
        "exports:write",
        (202, answers.Delivery),
        parameters=[KEY_PARAMETER],
        body=answers.NewDelivery,
        faults=(404, 409),
        action="job.deliver",
        headers=("Idempotent-Replayed",),
    )
    async def create_delivery(self, request: web.Request, caller: Caller) -> web.Response:
        """Deliver a job's file again, or to another platform."""
        job_id = job_id_in_path(request)
        body = await parse_body(request, answers.NewDelivery)
        await self._exporter.get(caller.tenant, job_id)
        made = await self._delivery.deliver(caller.tenant, job_id, body.platform_id, idempotency_key(request))
        return respond(answers.delivery(made.delivery), 202, REPLAYED if made.is_replay else None)
