"""Where jobs are found."""

from aiohttp import web

from services.gateway.http.ids import id_in_path
from services.gateway.http.route import PREFIX


def job_id_of(request: web.Request) -> str:
    """The job's id in the path; raises as `id_in_path`."""
    return id_in_path(request, "job")


def path_of_job(job_id: str) -> str:
    """Where a job is found, as a path."""
    return f"{PREFIX}/exports/jobs/{job_id}"
