"""Jobs: look at one, list them, cancel, start again, forget."""

import time
import uuid
from collections.abc import Sequence

from aiohttp import web
from multidict import MultiMapping

from services.chassis.faults import Unavailable
from services.gateway.answers import jobs as job_answers
from services.gateway.answers import json as answers
from services.gateway.auth.file_urls import FileUrls
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient, Listing
from services.gateway.errors import BadQuery
from services.gateway.http.job_ids import job_id_of, path_of_job
from services.gateway.http.pages import LIST_PARAMETERS, page_asked
from services.gateway.http.route import Caller, Parameter, Route
from services.gateway.routes.exports import POLL_SECONDS
from services.wire import exporter_pb2 as pb

GLANCE_PAUSE = 5.0
"""Seconds for which a delivery service that did not answer is not asked again for what a status only adds."""
JOB_LIST_PARAMETERS = (
    *LIST_PARAMETERS,
    Parameter("status", "Only jobs of this status.", {"enum": sorted(set(job_answers.STATUSES.values()))}),
    Parameter("format", "Only jobs of this format."),
    Parameter("schedule", "Only jobs of the schedule with this id."),
)


class JobRoutes:
    """`/exports/jobs`."""

    def __init__(self, exporter: ExporterClient, urls: FileUrls, delivery: DeliveryClient | None) -> None:
        self._exporter = exporter
        self._urls = urls
        self._delivery = delivery
        self._glance_after = 0.0

    def routes(self) -> list[Route]:
        """All of them."""
        one = "/exports/jobs/{job_id}"
        job = answers.Job
        return [
            Route(
                "GET",
                "/exports/jobs",
                self.list,
                "exports:read",
                "List jobs, newest first",
                (200, answers.JobPage),
                parameters=JOB_LIST_PARAMETERS,
                faults=(422,),
            ),
            Route("GET", one, self.get, "exports:read", "Look at a job", (200, job), faults=(404,)),
            Route("POST", f"{one}/cancel", self.cancel, "exports:write", "Cancel a job", (200, job), faults=(404, 409)),
            Route(
                "POST",
                f"{one}/retry",
                self.retry,
                "exports:write",
                "Start a failed or cancelled job again",
                (202, job),
                faults=(404, 409),
            ),
            Route(
                "DELETE",
                one,
                self.delete,
                "exports:write",
                "Forget an ended job and its file",
                (204, None),
                faults=(404, 409),
            ),
        ]

    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        """A page of the tenant's jobs."""
        page = await self._exporter.list(caller.tenant, _listing(request.query))
        shown = answers.JobPage(
            items=[job_answers.shown(job, self._urls.of(job, request)) for job in page.jobs],
            next_cursor=page.next_cursor or None,
        )
        return web.json_response(text=shown.text())

    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        """One job."""
        job = await self._exporter.get(caller.tenant, job_id_of(request))
        return self._shown(request, job, deliveries=await self._deliveries(job))

    async def cancel(self, request: web.Request, caller: Caller) -> web.Response:
        """End a live job."""
        return self._shown(request, await self._exporter.cancel(caller.tenant, job_id_of(request)))

    async def retry(self, request: web.Request, caller: Caller) -> web.Response:
        """Start a job again."""
        return self._shown(request, await self._exporter.retry(caller.tenant, job_id_of(request)), status=202)

    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        """Forget a job."""
        await self._exporter.delete(caller.tenant, job_id_of(request))
        return web.Response(status=204)

    async def _deliveries(self, job: pb.Job) -> Sequence[answers.JobDelivery] | None:
        """The job's deliveries; None when there are none to be told: a status waits for no delivery service."""
        if self._delivery is None or not job_answers.has_deliveries(job) or time.monotonic() < self._glance_after:
            return None
        try:
            return job_answers.deliveries(await self._delivery.glance(job.tenant, job.id))
        except Unavailable:
            self._glance_after = time.monotonic() + GLANCE_PAUSE
            return None

    def _shown(
        self,
        request: web.Request,
        job: pb.Job,
        status: int = 200,
        deliveries: Sequence[answers.JobDelivery] | None = None,
    ) -> web.Response:
        answer = job_answers.shown(job, self._urls.of(job, request), deliveries)
        headers = {"Retry-After": str(POLL_SECONDS)} if answer.status == "processing" else {}
        if status == 202:
            headers["Location"] = path_of_job(job.id)
        return web.json_response(text=answer.text(), status=status, headers=headers)


def _listing(query: MultiMapping[str]) -> Listing:
    """What a list is about.

    Raises:
        BadQuery: a parameter that is not known, or has no meaning.
    """
    asked = page_asked(query, JOB_LIST_PARAMETERS)
    return Listing(
        states=_states(query.get("status")),
        form=query.get("format", ""),
        schedule_id=_schedule(query.get("schedule")),
        limit=asked.limit,
        cursor=asked.cursor,
    )


def _schedule(schedule: str | None) -> str:
    try:
        return "" if schedule is None else str(uuid.UUID(schedule))
    except ValueError as exc:
        raise BadQuery("schedule", "must be a schedule's id, a UUID") from exc


def _states(status: str | None) -> Sequence[pb.JobState.ValueType]:
    if status is None:
        return []
    states = [state for state, word in job_answers.STATUSES.items() if word == status]
    if not states:
        raise BadQuery("status", f"must be one of {', '.join(sorted(set(job_answers.STATUSES.values())))}")
    return states
