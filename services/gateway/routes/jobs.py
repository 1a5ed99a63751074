"""Jobs: look at one, list them, cancel, start again, forget."""

import uuid
from collections.abc import Sequence

from aiohttp import web
from multidict import MultiMapping

from services.gateway import answers, job_answers
from services.gateway.errors import BadQuery
from services.gateway.exporter_client import ExporterClient, Listing
from services.gateway.file_urls import FileUrls
from services.gateway.job_ids import job_id_of, path_of_job
from services.gateway.route import Caller, Parameter, Route
from services.gateway.routes.exports import POLL_SECONDS
from services.wire import exporter_pb2 as pb

MOST_A_PAGE, A_PAGE = 200, 50
LIST_PARAMETERS = (
    Parameter("limit", "Jobs a page.", {"type": "integer", "minimum": 1, "maximum": MOST_A_PAGE, "default": A_PAGE}),
    Parameter("cursor", "`next_cursor` of the page before."),
    Parameter("status", "Only jobs of this status.", {"enum": sorted(set(job_answers.STATUSES.values()))}),
    Parameter("format", "Only jobs of this format."),
    Parameter("schedule", "Only jobs of the schedule with this id."),
)


class JobRoutes:
    """`/exports/jobs`."""

    def __init__(self, exporter: ExporterClient, urls: FileUrls) -> None:
        self._exporter = exporter
        self._urls = urls

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
                parameters=LIST_PARAMETERS,
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
        return self._shown(request, await self._exporter.get(caller.tenant, job_id_of(request)))

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

    def _shown(self, request: web.Request, job: pb.Job, status: int = 200) -> web.Response:
        answer = job_answers.shown(job, self._urls.of(job, request))
        headers = {"Retry-After": str(POLL_SECONDS)} if answer.status == "processing" else {}
        if status == 202:
            headers["Location"] = path_of_job(job.id)
        return web.json_response(text=answer.text(), status=status, headers=headers)


def _listing(query: MultiMapping[str]) -> Listing:
    """What a list is about.

    Raises:
        BadQuery: a parameter that is not known, or has no meaning.
    """
    known = {parameter.name for parameter in LIST_PARAMETERS}
    for name in query:
        if name not in known:
            raise BadQuery(name, f"is not a parameter of this list; there are {', '.join(sorted(known))}")
        if len(query.getall(name)) > 1:
            raise BadQuery(name, "is given more than once")
    limit = query.get("limit", str(A_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= MOST_A_PAGE):
        raise BadQuery("limit", f"must be a whole number from 1 to {MOST_A_PAGE}")
    return Listing(
        states=_states(query.get("status")),
        form=query.get("format", ""),
        schedule_id=_schedule(query.get("schedule")),
        limit=int(limit),
        cursor=query.get("cursor", ""),
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
