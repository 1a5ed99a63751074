"""Links that work by themselves until they expire: tenant, job and end, signed with HMAC-SHA-256. Pure."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from services.gateway.errors import BadKey

PARAMETERS = ("tenant", "expires", "signature")
STEP = 3_600
"""Ends are whole hours, so that a job's link stays the same from one look to the next."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and checks links.

    Args:
        key: the secret.
        keep: how long a link works, at most.
    """

    key: bytes
    keep: timedelta

    def query(self, tenant: str, job_id: str, now: datetime, file_expires_at: datetime | None) -> str:
        """The query of a link to a job's file."""
        end = (int((now + self.keep).timestamp()) // STEP + 1) * STEP
        if file_expires_at is not None:
            end = min(end, int(file_expires_at.timestamp()))
        return urlencode({"tenant": tenant, "expires": end, "signature": self._signature(tenant, job_id, str(end))})

    def tenant(self, job_id: str, query: Mapping[str, str], now: datetime) -> str:
        """The tenant whose file the link shows.

        Raises:
            BadKey: the link was not made by us for this job, or its time is over.
        """
        tenant, end, signature = (query.get(name, "") for name in PARAMETERS)
        if not hmac.compare_digest(self._signature(tenant, job_id, end).encode(), signature.encode()):
            raise BadKey("invalid_link", "This link is incomplete or was altered; ask for the job's file_url again.")
        if datetime.fromtimestamp(int(end), UTC) <= now:
            raise BadKey("link_expired", "This link has expired; ask for the job's file_url again.")
        return tenant

    def _signature(self, tenant: str, job_id: str, end: str) -> str:
        text = f"download\n{tenant}\n{job_id}\n{end}"
        return hmac.new(self.key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
