"""The entry point of the client."""

from types import TracebackType

from catalog_exports.client.aio.http import AsyncHttp
from catalog_exports.client.aio.jobs import AsyncExports, AsyncJobs
from catalog_exports.client.aio.platforms import AsyncPlatforms
from catalog_exports.client.aio.profiles import AsyncProfiles
from catalog_exports.client.aio.runtime import HttpClient
from catalog_exports.client.aio.schedules import AsyncSchedules
from catalog_exports.client.aio.webhooks import AsyncEvents, AsyncWebhooks
from catalog_exports.client.models import Limits, Template, TemplateList

TIMEOUT = 30.0
RETRIES = 4


class AsyncCatalogExports:
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
        self._http = AsyncHttp(url, key, timeout=timeout, retries=retries, client=http_client)
        self.exports = AsyncExports(self._http)
        self.jobs = AsyncJobs(self._http)
        self.profiles = AsyncProfiles(self._http)
        self.platforms = AsyncPlatforms(self._http)
        self.schedules = AsyncSchedules(self._http)
        self.webhooks = AsyncWebhooks(self._http)
        self.events = AsyncEvents(self._http)

    async def limits(self) -> Limits:
        """The limits of the tenant, and how much of them is used."""
        return await self._http.get("/limits", Limits)

    async def templates(self) -> tuple[Template, ...]:
        """The feed templates, with what their receivers accept."""
        return (await self._http.get("/exports/templates", TemplateList)).items

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def __aenter__(self) -> "AsyncCatalogExports":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
