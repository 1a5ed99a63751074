"""Links to files that need no API key until they expire: tenant, job and expiry, signed with HMAC-SHA-256. Pure."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from services.gateway.answers.jobs import at
from services.gateway.errors import BadKey
from services.gateway.http.ids import job_path
from services.wire import exporter_pb2 as pb

PARAMETERS = ("tenant", "expires", "signature")
STEP = 3_600
"""Links expire on the hour, so that a job's link stays the same from one request to the next."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and checks links.

    Args:
        key: the secret.
        lifetime: how long a link works.
        public_url: where clients reach the gateway; None: as the request says.
    """

    key: bytes
    lifetime: timedelta
    public_url: str | None = None

    def file_url(self, job: pb.Job, origin: str) -> str | None:
        """The absolute link to a completed job's file; None for a job without a file.

        Args:
            origin: scheme and host of the request.
        """
        if job.state != pb.JOB_STATE_COMPLETED:
            return None
        end = at(job.expires_at) if job.HasField("expires_at") else None
        query = self.query(job.tenant, job.id, datetime.now(UTC), end)
        return f"{(self.public_url or origin).rstrip('/')}{job_path(job.id)}/download?{query}"

    def query(self, tenant: str, job_id: str, now: datetime, file_expires_at: datetime | None) -> str:
        """The query of a link to a job's file."""
        end = (int((now + self.lifetime).timestamp()) // STEP + 1) * STEP
        if file_expires_at is not None:
            end = min(end, int(file_expires_at.timestamp()))
        return urlencode({"tenant": tenant, "expires": end, "signature": self._signature(tenant, job_id, str(end))})

    def tenant(self, job_id: str, query: Mapping[str, str], now: datetime) -> str:
        """The tenant whose file the link shows.

        Raises:
            BadKey: the link was not made for this job, or has expired.
        """
        tenant, end, signature = (query.get(name, "") for name in PARAMETERS)
        if not hmac.compare_digest(self._signature(tenant, job_id, end).encode(), signature.encode()):
            raise BadKey("invalid_link", "This link is incomplete or was changed; get the job's file_url again.")
        if datetime.fromtimestamp(int(end), UTC) <= now:
            raise BadKey("link_expired", "This link has expired; get the job's file_url again.")
        return tenant

    def _signature(self, tenant: str, job_id: str, end: str) -> str:
        text = f"download\n{tenant}\n{job_id}\n{end}"
        return hmac.new(self.key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
