"""Ids in paths: UUIDs in their canonical form."""

import uuid

from aiohttp import web

from services.gateway.errors import UnknownId
from services.gateway.http.route import PREFIX


def id_in_path(request: web.Request, resource: str) -> str:
    """The id of a `resource` (job, platform, schedule) in the path's `{resource_id}`, in lower case.

    Raises:
        UnknownId: it is not a UUID, so nothing can have it.
    """
    text = request.match_info[f"{resource}_id"]
    try:
        found = str(uuid.UUID(text))
    except ValueError as exc:
        raise UnknownId(resource, text) from exc
    if found != text.lower():
        raise UnknownId(resource, text)
    return found


def job_id_in_path(request: web.Request) -> str:
    """The job's id in the path; raises as `id_in_path`."""
    return id_in_path(request, "job")


def job_path(job_id: str) -> str:
    """Path of a job."""
    return f"{PREFIX}/exports/jobs/{job_id}"
