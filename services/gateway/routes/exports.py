"""Asking for an export: the body goes to the exporter as it came, and the answer is the accepted job."""

import uuid

from aiohttp import web

from services.gateway.answers import jobs as job_answers
from services.gateway.answers import json as answers
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.bodies import json_object
from services.gateway.http.idempotency import KEY_PARAMETER, idempotency_key
from services.gateway.http.job_ids import path_of_job
from services.gateway.http.route import Caller, Route

POLL_SECONDS = 1
"""What `Retry-After` advises while a job is processing."""


class ExportRoutes:
    """`POST /exports/{format}/products`."""

    def __init__(self, exporter: ExporterClient) -> None:
        self._exporter = exporter

    def routes(self) -> list[Route]:
        """One route for all formats: which there are is the exporter's knowledge."""
        return [
            Route(
                "POST",
                "/exports/{format}/products",
                self.create,
                "exports:write",
                "Export products",
                (202, answers.Accepted),
                parameters=[KEY_PARAMETER],
                takes_options=True,
                faults=(400, 404, 413, 415, 422),
            )
        ]

    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        """Accept an export."""
        options = await json_object(request)
        # The id is chosen here, so that a call that is repeated behind the scenes makes no second job.
        job = await self._exporter.create(
            caller.tenant,
            request.match_info["format"],
            options,
            key=idempotency_key(request),
            job_id=str(uuid.uuid4()),
        )
        headers = {"Location": path_of_job(job.id), "Retry-After": str(POLL_SECONDS)}
        return web.json_response(text=job_answers.accepted(job).text(), status=202, headers=headers)
