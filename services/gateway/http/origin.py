"""The URL at which a client reaches the gateway, for links: a setting, or what the request and trusted proxies say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web

from services.chassis.networks import Network

HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
"""A host, and perhaps a port (RFC 9112, 3.2)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Finds the URL.

    Args:
        public_url: the URL, if it is known.
        proxies: networks of the proxies whose X-Forwarded-Proto and X-Forwarded-Host are trusted.
    """

    public_url: str | None = None
    proxies: Sequence[Network] = ()

    def of(self, request: web.Request) -> str:
        """The URL for the client of this request, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        scheme, host = request.scheme, request.host
        if self.proxies and self._is_trusted(request.remote):
            said = _last(request, "X-Forwarded-Proto").lower()
            scheme = said if said in ("http", "https") else scheme
            said = _last(request, "X-Forwarded-Host")
            host = said if HOST.fullmatch(said) else host
        return f"{scheme}://{host}"

    def _is_trusted(self, peer: str | None) -> bool:
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.proxies)


def _last(request: web.Request, name: str) -> str:
    """The last value of a header: the one that the nearest proxy has set."""
    return ",".join(request.headers.getall(name, ())).rpartition(",")[2].strip()
