"""The absolute, signed address of a job's file."""

from datetime import UTC, datetime

from aiohttp import web

from services.gateway.answers.jobs import at
from services.gateway.auth.links import Signer
from services.gateway.http.job_ids import path_of_job
from services.wire import exporter_pb2 as pb


class FileUrls:
    """Makes `file_url`s.

    Args:
        public_url: where clients reach the gateway; None: as the request names it.
    """

    def __init__(self, signer: Signer, public_url: str | None) -> None:
        self._signer = signer
        self._base = public_url.rstrip("/") if public_url else None

    def of(self, job: pb.Job, request: web.Request) -> str | None:
        """The link to a completed job's file; None for a job without one."""
        if job.state != pb.JOB_STATE_COMPLETED:
            return None
        end = at(job.expires_at) if job.HasField("expires_at") else None
        query = self._signer.query(job.tenant, job.id, datetime.now(UTC), end)
        base = self._base or f"{request.scheme}://{request.host}"
        return f"{base}{path_of_job(job.id)}/download?{query}"
