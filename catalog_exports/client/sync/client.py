# Generated from ../aio by `make client`; do not edit.
"""The entry point of the client."""

from types import TracebackType

from catalog_exports.client.models import Limits, Template, TemplateList
from catalog_exports.client.sync.http import Http
from catalog_exports.client.sync.jobs import Exports, Jobs
from catalog_exports.client.sync.platforms import Platforms
from catalog_exports.client.sync.profiles import Profiles
from catalog_exports.client.sync.runtime import HttpClient
from catalog_exports.client.sync.schedules import Schedules
from catalog_exports.client.sync.webhooks import Events, Webhooks

TIMEOUT = 30.0
RETRIES = 4


class CatalogExports:
    """A client of one gateway with one API key; close it, or use it in a `with` block.

    Args:
        url: of the gateway, such as https://exports.example.com.
        key: an API key, `cx_…`.
        timeout: seconds that an answer may take, besides the time that a request asks to wait.
        retries: how many times a request is repeated, if that is safe; requests that create have an idempotency key.
        http_client: of httpx, with your own certificates or proxies; it is closed with this client.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        http_client: HttpClient | None = None,
    ) -> None:
        self._http = Http(url, key, timeout=timeout, retries=retries, client=http_client)
        self.exports = Exports(self._http)
        self.jobs = Jobs(self._http)
        self.profiles = Profiles(self._http)
        self.platforms = Platforms(self._http)
        self.schedules = Schedules(self._http)
        self.webhooks = Webhooks(self._http)
        self.events = Events(self._http)

    def limits(self) -> Limits:
        """The limits of the tenant, and how much of them is used."""
        return self._http.get("/limits", Limits)

    def templates(self) -> tuple[Template, ...]:
        """The feed templates, with what their receivers accept."""
        return (self._http.get("/exports/templates", TemplateList)).items

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> "CatalogExports":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
