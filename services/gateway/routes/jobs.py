"""Jobs: create, get, follow, list, cancel, retry, delete."""

import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress

from aiohttp import web
from multidict import MultiMapping

from services.chassis.faults import BadRequest, Unavailable, Violation
from services.chassis.timestamps import to_timestamp
from services.gateway.answers import jobs as job_answers
from services.gateway.answers import models as answers
from services.gateway.answers.described import FORMATS, NAME_OF
from services.gateway.auth.links import FileLink, Signer
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient, split_platforms
from services.gateway.clients.job_changes import LIVE, JobChanges
from services.gateway.errors import BadQuery
from services.gateway.http.bodies import json_object
from services.gateway.http.etags import IF_MATCH, IF_NONE_MATCH
from services.gateway.http.event_stream import KEEP_ALIVE_SECONDS, LAST_EVENT_PARAMETER, send_events
from services.gateway.http.idempotency import KEY_PARAMETER, REPLAYED, idempotency_key
from services.gateway.http.ids import job_id_in_path, job_path
from services.gateway.http.middleware import waiting
from services.gateway.http.origin import Origin
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
from services.gateway.http.prefer import WAIT_PARAMETER, applied, seconds_to_wait
from services.gateway.http.route import Caller, Parameter, Route, respond
from services.wire import exporter_pb2 as pb

DELIVERIES_PAUSE = 5.0
"""Seconds for which jobs are shown without deliveries after the delivery service did not answer."""
MAX_PLATFORMS = 100
"""The number that an export may name; the exporter rejects more."""
ALL, ONE = "/exports/jobs", "/exports/jobs/{job_id}"
STATUSES = sorted(set(job_answers.STATUSES.values()))
JOB_LIST_PARAMETERS = (
    *LIST_PARAMETERS,
    *CREATED_PARAMETERS,
    Parameter("status", "Only jobs of these statuses.", one_of(STATUSES)),
    Parameter("format", "Only jobs of this format.", {NAME_OF: FORMATS}),
    Parameter("schedule", "Only jobs of the schedule with this id.", {"type": "string", "format": "uuid"}),
    Parameter("profile", "Only jobs of the profile with this id.", {"type": "string", "format": "uuid"}),
)


class JobRoutes:
    """`POST /exports/{format}/products`, and `/exports/jobs`."""

    def __init__(
        self,
        exporter: ExporterClient,
        changes: JobChanges,
        signer: Signer,
        origin: Origin,
        delivery: DeliveryClient | None,
    ) -> None:
        self._exporter = exporter
        self._changes = changes
        self._signer = signer
        self._origin = origin
        self._delivery = delivery
        self._ask_deliveries_after = 0.0
        self._last_text: tuple[pb.Job, tuple[str, str], str] | None = None
        self._last_answer: tuple[pb.Job, tuple[str, str], answers.Job] | None = None

    @Route("GET", ALL, "exports:read", (200, answers.JobPage), parameters=JOB_LIST_PARAMETERS, faults=(422,))
    async def list_jobs(self, request: web.Request, caller: Caller) -> answers.JobPage:
        """List jobs."""
        page = await self._exporter.list(_list_request(caller.tenant, request.query))
        items = [job_answers.shown(job, self._link(request, caller, job)) for job in page.jobs]
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
        faults=(404, 409),
        action="job.create",
        headers=("Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied"),
    )
    async def create_export(self, request: web.Request, caller: Caller) -> web.Response:
        """Export products."""
        options = await json_object(request)
        await self.check_platforms(caller.tenant, options)
        # The id is chosen here, so that a gRPC call that is retried does not create a second job.
        made = await self._exporter.create(
            caller.tenant,
            request.match_info["format"],
            options,
            key=idempotency_key(request),
            job_id=str(uuid.uuid4()),
        )
        return await self.started(request, caller, made)

    async def started(self, request: web.Request, caller: Caller, made: pb.CreateJobResponse) -> web.Response:
        """The response to a request for an export, which may ask to wait for its end."""
        job = made.job
        headers = {"Location": job_path(job.id), **(REPLAYED if made.is_replay else {})}
        if seconds := seconds_to_wait(request):
            headers |= applied(seconds)
            with waiting(request):
                job = await self._changes.ended(job, seconds)
            if job.state not in LIVE:
                return self._respond(await self._answer(request, caller, job), job, 201, headers)
        return respond(job_answers.accepted(job), 202, {**headers, "Retry-After": str(job_answers.POLL_SECONDS)})

    @Route(
        "POST",
        "/exports/{format}/products/preflight",
        "exports:read",
        (200, answers.Preflight),
        takes_options=True,
        faults=(404,),
    )
    async def preflight_export(self, request: web.Request, caller: Caller) -> answers.Preflight:
        """Preview an export of products.

        Checks the request like an export, and reads the first products. Nothing is stored.
        """
        options = await json_object(request)
        found = await self._exporter.preview(caller.tenant, options, form=request.match_info["format"])
        return await self.preflight(caller, found, options)

    async def preflight(self, caller: Caller, found: pb.PreviewJobResponse, options: str) -> answers.Preflight:
        """What an export would make, with what is wrong with the platforms that these options name."""
        answer = job_answers.preflight(found)
        try:
            await self.check_platforms(caller.tenant, options)
        except BadRequest as exc:
            wrong = [answers.FieldError(field=one.field, message=one.message) for one in exc.violations]
            return answer.model_copy(update={"problems": [*answer.problems, *wrong]})
        return answer

    async def check_platforms(self, tenant: str, options: str, prefix: str = "") -> None:
        """Refuse platforms that do not exist or are not active, unless the delivery service does not answer.

        Ids that are not UUIDs are left to the exporter.

        Args:
            prefix: of the options in the body, such as `options.`.
        """
        selected = split_platforms(options)[1]
        if self._delivery is None or selected is None or not 0 < len(selected.platform_ids) <= MAX_PLATFORMS:
            return
        try:
            found = await self._delivery.platforms_named(tenant, selected.platform_ids)
        except Unavailable:
            return
        active = {one.id: one.is_active for one in found}
        wrong = []
        for number, text in enumerate(selected.platform_ids):
            with suppress(ValueError):
                if (is_active := active.get(str(uuid.UUID(text)))) is not True:
                    problem = "does not exist; register the platform first" if is_active is None else "is not active"
                    wrong.append(Violation(f"{prefix}platform_ids[{number}]", problem))
        if wrong:
            raise BadRequest(wrong)

    @Route(
        "GET",
        ONE,
        "exports:read",
        (200, answers.Job),
        parameters=[WAIT_PARAMETER, IF_NONE_MATCH],
        faults=(404,),
        headers=("Retry-After", "Preference-Applied"),
        has_etag=True,
    )
    async def get_job(self, request: web.Request, caller: Caller) -> web.Response:
        """Get a job."""
        job = await self._exporter.get(caller.tenant, job_id_in_path(request))
        if seconds := seconds_to_wait(request):
            with waiting(request):
                job = await self._changes.ended(job, seconds)
        return self._respond(await self._answer(request, caller, job), job, headers=applied(seconds))

    @Route(
        "GET",
        f"{ONE}/events",
        "exports:read",
        (200, answers.Job),
        parameters=[LAST_EVENT_PARAMETER],
        faults=(404,),
        is_event_stream=True,
        headers=("Cache-Control", "X-Accel-Buffering"),
    )
    async def follow_job(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Follow a job until it has ended, as Server-Sent Events."""
        job = await self._exporter.get(caller.tenant, job_id_in_path(request))
        with waiting(request):
            return await send_events(request, self._messages(request, caller, job))

    async def _messages(self, request: web.Request, caller: Caller, job: pb.Job) -> AsyncGenerator[str | None]:
        """The job as JSON, now and after each change; None after a pause without one."""
        async with aclosing(self._changes.states(job, KEEP_ALIVE_SECONDS)) as states:
            async for state in states:
                yield state and self._text(request, caller, state)

    def _text(self, request: web.Request, caller: Caller, job: pb.Job) -> str:
        """The job as JSON; made once for all clients with the same key that wait for it."""
        who = (caller.key_id, self._origin.of(request))
        if self._last_text is None or self._last_text[0] is not job or self._last_text[1] != who:
            self._last_text = job, who, job_answers.shown(job, self._link(request, caller, job)).text()
        return self._last_text[2]

    @Route(
        "GET",
        f"{ONE}/report",
        "exports:read",
        (200, answers.Report),
        parameters=[Parameter("format", "`csv`: the rows as CSV.", {"type": "string", "enum": ["json", "csv"]})],
        faults=(404, 409, 422),
        also_media_type="text/csv",
    )
    async def get_report(self, request: web.Request, caller: Caller) -> web.Response:
        """Get what the columns of a request did to single rows.

        Lists the rows that were left out and the texts that were cut.
        """
        form = request.query.get("format", "json")
        if form not in ("json", "csv"):
            raise BadQuery("format", "must be json or csv")
        found = await self._exporter.report(caller.tenant, job_id_in_path(request))
        if form == "json":
            return respond(job_answers.report(found))
        return web.Response(text=job_answers.report_csv(found), content_type="text/csv", charset="utf-8")

    @Route("POST", f"{ONE}/cancel", "exports:write", (200, answers.Job), faults=(404, 409), action="job.cancel")
    async def cancel_job(self, request: web.Request, caller: Caller) -> web.Response:
        """Cancel a job."""
        return self._shown(request, caller, await self._exporter.cancel(caller.tenant, job_id_in_path(request)))

    @Route(
        "POST",
        f"{ONE}/retry",
        "exports:write",
        (202, answers.Job),
        faults=(404, 409),
        action="job.retry",
        headers=("Location", "Retry-After"),
    )
    async def retry_job(self, request: web.Request, caller: Caller) -> web.Response:
        """Retry a failed or cancelled job."""
        job = await self._exporter.retry(caller.tenant, job_id_in_path(request))
        return self._shown(request, caller, job, status=202)

    @Route("DELETE", ONE, "exports:write", (204, None), [IF_MATCH], faults=(404, 409, 412), action="job.delete")
    async def delete_job(self, request: web.Request, caller: Caller) -> None:
        """Delete an ended job and its file."""
        await self._exporter.delete(caller.tenant, job_id_in_path(request))

    async def _deliveries(self, job: pb.Job) -> Sequence[answers.JobDelivery] | None:
        """The job's deliveries; None if it cannot have any, or if the delivery service does not answer."""
        if self._delivery is None or not job_answers.may_have_deliveries(job):
            return None
        if job.HasField("has_deliveries") and not job.has_deliveries:
            return []
        if time.monotonic() < self._ask_deliveries_after:
            return None
        try:
            return job_answers.deliveries(await self._delivery.list_deliveries_brief(job))
        except Unavailable:
            self._ask_deliveries_after = time.monotonic() + DELIVERIES_PAUSE
            return None

    def _link(self, request: web.Request, caller: Caller, job: pb.Job) -> FileLink | None:
        return self._signer.file_link(job, caller.key_id, self._origin.of(request))

    async def _answer(self, request: web.Request, caller: Caller, job: pb.Job) -> answers.Job:
        """The job with its deliveries; usually made once for all clients with the same key that have waited for it."""
        who = (caller.key_id, self._origin.of(request))
        if self._last_answer is None or self._last_answer[0] is not job or self._last_answer[1] != who:
            deliveries = await self._deliveries(job)
            self._last_answer = job, who, job_answers.shown(job, self._link(request, caller, job), deliveries)
        return self._last_answer[2]

    def _shown(self, request: web.Request, caller: Caller, job: pb.Job, status: int = 200) -> web.Response:
        """A job that was changed just now."""
        return self._respond(job_answers.shown(job, self._link(request, caller, job)), job, status)

    def _respond(
        self, answer: answers.Job, job: pb.Job, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
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
        states=chosen(query, "status", job_answers.STATUSES),
        format=query.get("format", ""),
        schedule_id=id_of(query, "schedule"),
        profile_id=id_of(query, "profile"),
        page_size=wanted.limit,
        page_token=wanted.cursor,
        created_after=to_timestamp(time_of(query, "created_after")),
        created_before=to_timestamp(time_of(query, "created_before")),
        oldest_first=is_oldest_first(query),
    )
