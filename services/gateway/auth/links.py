"""Links to files that work without an API key: tenant, job, key id and expiry, signed with HMAC-SHA-256.

A link stops working with the key that it was made with; whoever checks a link must check that key, too.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from services.gateway.answers.jobs import at
from services.gateway.errors import BadKey
from services.gateway.http.ids import job_path
from services.gateway.http.route import LINK_PARAMETERS, Caller
from services.wire import exporter_pb2 as pb

PARAMETERS = tuple(parameter.name for parameter in LINK_PARAMETERS)
STEP = 3_600
"""Links expire on the hour, so that a job's link stays the same from one request to the next; seconds."""


@dataclass(frozen=True, slots=True)
class FileLink:
    """A link to a job's file, and when it ends."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and checks links.

    Args:
        keys: the secrets: the first signs, all are accepted.
        lifetime: how long a link works, at most; it is up to an hour less, or half of a short lifetime.
    """

    keys: Sequence[bytes]
    lifetime: timedelta

    def file_link(self, job: pb.Job, key_id: str, gateway: str) -> FileLink | None:
        """The absolute link to a completed job's file; None for a job without a file.

        Args:
            key_id: of the API key that asks for the link.
            gateway: the URL at which the client reaches the gateway.
        """
        if job.state != pb.JOB_STATE_COMPLETED:
            return None
        now, file_expires_at = datetime.now(UTC), at(job.expires_at) if job.HasField("expires_at") else None
        query = self.query(Caller(job.tenant, key_id), job.id, now, file_expires_at)
        url = f"{gateway.rstrip('/')}{job_path(job.id)}/download?{query}"
        return FileLink(url, datetime.fromtimestamp(self._end(now, file_expires_at), UTC))

    def _end(self, now: datetime, file_expires_at: datetime | None) -> int:
        """When a link to a file ends, in Unix time."""
        step = min(STEP, max(1, int(self.lifetime.total_seconds()) // 2))
        end = int((now + self.lifetime).timestamp()) // step * step
        return end if file_expires_at is None else min(end, int(file_expires_at.timestamp()))

    def query(self, caller: Caller, job_id: str, now: datetime, file_expires_at: datetime | None) -> str:
        """The query of a link to a job's file."""
        end = self._end(now, file_expires_at)
        signature = _signature(self.keys[0], job_id, caller.tenant, caller.key_id, str(end))
        return urlencode({"tenant": caller.tenant, "key": caller.key_id, "expires": end, "signature": signature})

    def caller(self, job_id: str, query: Mapping[str, str], now: datetime) -> Caller:
        """The tenant whose file the link shows, and the key that the link was made with.

        Raises:
            BadKey: the link was not made for this job, or has expired.
        """
        tenant, key_id, end, signature = (query.get(name, "") for name in PARAMETERS)
        valid = [_signature(key, job_id, tenant, key_id, end) for key in self.keys]
        if not any(hmac.compare_digest(one.encode(), signature.encode()) for one in valid):
            raise BadKey("invalid_link", "This link is incomplete or was changed; get the job's file_url again.")
        if datetime.fromtimestamp(int(end), UTC) <= now:
            raise BadKey("link_expired", "This link has expired; get the job's file_url again.")
        return Caller(tenant, key_id)


def _signature(key: bytes, *parts: str) -> str:
    text = "\n".join(("download", *parts))
    return hmac.new(key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
