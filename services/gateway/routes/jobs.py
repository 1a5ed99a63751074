"""Jobs: create, get, follow, list, cancel, retry, delete."""

import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from aiohttp import web
from multidict import MultiMapping

from services.chassis.faults import Unavailable
from services.gateway.answers import jobs as job_answers
from services.gateway.answers import models as answers
from services.gateway.auth.links import Signer
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.clients.job_changes import LIVE, JobChanges
from services.gateway.errors import BadQuery
from services.gateway.http.bodies import json_object
from services.gateway.http.event_stream import KEEP_ALIVE_SECONDS, send_events
from services.gateway.http.idempotency import KEY_PARAMETER, idempotency_key
from services.gateway.http.ids import job_id_in_path, job_path
from services.gateway.http.middleware import waiting
from services.gateway.http.pages import LIST_PARAMETERS, requested_page
from services.gateway.http.prefer import WAIT_PARAMETER, applied, seconds_to_wait
from services.gateway.http.route import Caller, Parameter, Route, respond
from services.wire import exporter_pb2 as pb

DELIVERIES_PAUSE = 5.0
"""Seconds for which jobs are shown without deliveries after the delivery service did not answer."""
ALL, ONE = "/exports/jobs", "/exports/jobs/{job_id}"
JOB_LIST_PARAMETERS = (
    *LIST_PARAMETERS,
    Parameter("status", "Only jobs of this status.", {"enum": sorted(set(job_answers.STATUSES.values()))}),
    Parameter("format", "Only jobs of this format."),
    Parameter("schedule", "Only jobs of the schedule with this id."),
)


class JobRoutes:
    """`POST /exports/{format}/products`, and `/exports/jobs`."""

    def __init__(
        self, exporter: ExporterClient, changes: JobChanges, signer: Signer, delivery: DeliveryClient | None
    ) -> None:
        self._exporter = exporter
        self._changes = changes
        self._signer = signer
        self._delivery = delivery
        self._ask_deliveries_after = 0.0

    @Route("GET", ALL, "exports:read", (200, answers.JobPage), parameters=JOB_LIST_PARAMETERS, faults=(422,))
    async def list(self, request: web.Request, caller: Caller) -> answers.JobPage:
        """List jobs, newest first."""
        page = await self._exporter.list(_list_request(caller.tenant, request.query))
        items = [job_answers.shown(job, self._file_url(request, caller, job)) for job in page.jobs]
        return answers.JobPage(items=items, next_cursor=page.next_page_token or None)

    # One route for all formats; only the exporter knows which formats there are.
    @Route(
        "POST",
        "/exports/{format}/products",
        "exports:write",
        (202, answers.Accepted),
        also=(201, answers.Job),
        parameters=[KEY_PARAMETER, WAIT_PARAMETER],
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
        headers = {"Location": job_path(job.id)}
        if seconds := seconds_to_wait(request):
            headers |= applied(seconds)
            with waiting(request):
                job = await self._changes.ended(job, seconds)
            if job.state not in LIVE:
                return self._shown(request, caller, job, 201, await self._deliveries(job), headers)
        return respond(job_answers.accepted(job), 202, {**headers, "Retry-After": str(job_answers.POLL_SECONDS)})

    @Route("GET", ONE, "exports:read", (200, answers.Job), parameters=[WAIT_PARAMETER], faults=(404,))
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        """Get a job."""
        job = await self._exporter.get(caller.tenant, job_id_in_path(request))
        if seconds := seconds_to_wait(request):
            with waiting(request):
                job = await self._changes.ended(job, seconds)
        return self._shown(request, caller, job, deliveries=await self._deliveries(job), headers=applied(seconds))

    @Route("GET", f"{ONE}/events", "exports:read", (200, answers.Job), faults=(404,), is_event_stream=True)
    async def events(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Follow a job until it has ended, as Server-Sent Events."""
        job = await self._exporter.get(caller.tenant, job_id_in_path(request))
        with waiting(request):
            return await send_events(request, self._messages(request, caller, job))

    async def _messages(self, request: web.Request, caller: Caller, job: pb.Job) -> AsyncGenerator[str | None]:
        """The job as JSON, now and after each change; None after a pause without one."""
        async with aclosing(self._changes.states(job, KEEP_ALIVE_SECONDS)) as states:
            async for state in states:
                yield state and job_answers.shown(state, self._file_url(request, caller, state)).text()

    @Route("POST", f"{ONE}/cancel", "exports:write", (200, answers.Job), faults=(404, 409), action="job.cancel")
    async def cancel(self, request: web.Request, caller: Caller) -> web.Response:
        """Cancel a job."""
        return self._shown(request, caller, await self._exporter.cancel(caller.tenant, job_id_in_path(request)))

    @Route("POST", f"{ONE}/retry", "exports:write", (202, answers.Job), faults=(404, 409), action="job.retry")
    async def retry(self, request: web.Request, caller: Caller) -> web.Response:
        """Retry a failed or cancelled job."""
        job = await self._exporter.retry(caller.tenant, job_id_in_path(request))
        return self._shown(request, caller, job, status=202)

    @Route("DELETE", ONE, "exports:write", (204, None), faults=(404, 409), action="job.delete")
    async def delete(self, request: web.Request, caller: Caller) -> None:
        """Delete an ended job and its file."""
        await self._exporter.delete(caller.tenant, job_id_in_path(request))

    async def _deliveries(self, job: pb.Job) -> Sequence[answers.JobDelivery] | None:
        """The job's deliveries; None if it cannot have any, or if the delivery service does not answer."""
        if self._delivery is None or not job_answers.has_deliveries(job):
            return None
        if time.monotonic() < self._ask_deliveries_after:
            return None
        try:
            return job_answers.deliveries(await self._delivery.list_deliveries_brief(job))
        except Unavailable:
            self._ask_deliveries_after = time.monotonic() + DELIVERIES_PAUSE
            return None

    def _file_url(self, request: web.Request, caller: Caller, job: pb.Job) -> str | None:
        return self._signer.file_url(job, caller.key_id, f"{request.scheme}://{request.host}")

    def _shown(
        self,
        request: web.Request,
        caller: Caller,
        job: pb.Job,
        status: int = 200,
        deliveries: Sequence[answers.JobDelivery] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        answer = job_answers.shown(job, self._file_url(request, caller, job), deliveries)
        headers = dict(headers or {})
        if answer.status == "processing":
            headers["Retry-After"] = str(job_answers.POLL_SECONDS)
        if status == 202:
            headers["Location"] = job_path(job.id)
        return respond(answer, status, headers)


def _list_request(tenant: str, query: MultiMapping[str]) -> pb.ListJobsRequest:
    """The filters and the page that the query asks for.

    Raises:
        BadQuery: a parameter has an invalid value.
    """
    wanted = requested_page(query)
    return pb.ListJobsRequest(
        tenant=tenant,
        states=_states(query.get("status")),
        format=query.get("format", ""),
        schedule_id=_schedule(query.get("schedule")),
        page_size=wanted.limit,
        page_token=wanted.cursor,
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
