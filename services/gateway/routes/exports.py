"""Requests an export: passes the body to the exporter unchanged and answers with the accepted job."""

import uuid

from aiohttp import web

from services.gateway.answers import jobs as job_answers
from services.gateway.answers import models as answers
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.bodies import json_object
from services.gateway.http.idempotency import KEY_PARAMETER, idempotency_key
from services.gateway.http.ids import job_path
from services.gateway.http.route import Caller, Route, respond

POLL_SECONDS = 1
"""`Retry-After` while a job is processing."""


class ExportRoutes:
    """`POST /exports/{format}/products`."""

    def __init__(self, exporter: ExporterClient) -> None:
        self._exporter = exporter

    # One route for all formats; only the exporter knows which formats there are.
    @Route(
        "POST",
        "/exports/{format}/products",
        "exports:write",
        (202, answers.Accepted),
        parameters=[KEY_PARAMETER],
        takes_options=True,
        faults=(404,),
        action="job.create",
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        """Export products."""
        options = await json_object(request)
        # The id is chosen here, so that a gRPC call that is retried does not create a second job.
        job = await self._exporter.create(
            caller.tenant,
            request.match_info["format"],
            options,
            key=idempotency_key(request),
            job_id=str(uuid.uuid4()),
        )
        headers = {"Location": job_path(job.id), "Retry-After": str(POLL_SECONDS)}
        return respond(job_answers.accepted(job), 202, headers)
