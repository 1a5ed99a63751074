"""Asking for an export: the body goes to the exporter as it came, and the answer is the accepted job."""

import re
import uuid

from aiohttp import web

from services.gateway import answers, job_answers
from services.gateway.bodies import json_object
from services.gateway.errors import BadQuery
from services.gateway.exporter_client import ExporterClient
from services.gateway.job_ids import path_of_job
from services.gateway.route import Caller, Parameter, Route

POLL_SECONDS = 1
"""What `Retry-After` advises while a job is processing."""
KEY_HEADER = "Idempotency-Key"
# A structured-field string (draft-ietf-httpapi-idempotency-key-header) or the plain text most clients send.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


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
                parameters=[
                    Parameter(
                        KEY_HEADER,
                        "Makes repeating safe: the same key and body give the same job, another body is refused.",
                        {"type": "string", "minLength": 1, "maxLength": 255},
                        where="header",
                    )
                ],
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
            key=_idempotency_key(request),
            job_id=str(uuid.uuid4()),
        )
        headers = {"Location": path_of_job(job.id), "Retry-After": str(POLL_SECONDS)}
        return web.json_response(text=job_answers.accepted(job).text(), status=202, headers=headers)


def _idempotency_key(request: web.Request) -> str:
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise BadQuery(KEY_HEADER, "must be 1 to 255 printable ASCII characters without blanks")
    return key
