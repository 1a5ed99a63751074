"""Ids in paths."""

import uuid

from aiohttp import web

from services.gateway.errors import NoSuchJob
from services.gateway.route import PREFIX


def job_id_of(request: web.Request) -> str:
    """The job's id in the path, in its canonical form.

    Raises:
        NoSuchJob: it is no UUID, so there cannot be such a job.
    """
    text = request.match_info["job_id"]
    try:
        job_id = str(uuid.UUID(text))
    except ValueError as exc:
        raise NoSuchJob(text) from exc
    if job_id != text.lower():
        raise NoSuchJob(text)
    return job_id


def path_of_job(job_id: str) -> str:
    """Where a job is found, as a path."""
    return f"{PREFIX}/exports/jobs/{job_id}"
