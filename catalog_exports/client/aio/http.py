"""Requests to the API: the key, idempotency keys, repeated attempts, errors as exceptions, and pages of lists."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from catalog_exports.client.aio.runtime import HttpClient, pause
from catalog_exports.client.errors import ApiError, Unreachable, api_error, parsed
from catalog_exports.client.models import Model, Page
from catalog_exports.client.retries import IDEMPOTENCY_KEY, delay_after_answer, delay_after_failure

PREFIX = "/api/v1"
USER_AGENT = "catalog-exports-python"
MAX_PAGE = 200
Answer = TypeVar("Answer", bound=Model)


def segment(text: str) -> str:
    """An id or a name as one segment of a path."""
    return quote(text, safe="")


class AsyncHttp:
    """One gateway, one key.

    Args:
        retries: how many times a request is repeated, if that is safe.
        client: of httpx, with your own certificates or proxies; it is closed with this.
    """

    def __init__(self, url: str, key: str, *, timeout: float, retries: int, client: HttpClient | None) -> None:
        self.url = url.rstrip("/").removesuffix(PREFIX)
        self.retries = retries
        self.timeout = timeout
        self._key = key
        self._client = client or HttpClient()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str] | None = None,
        wait: int = 0,
        timeout: float | None = None,
        creates: bool = False,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """The successful answer, after repeated attempts where they are safe.

        Args:
            wait: seconds that the API may wait for the end of a job (RFC 7240).
            timeout: seconds that the answer may take otherwise; None: as for all requests.
            creates: the request makes something, once for each idempotency key; without one, a new key is made.

        Raises:
            ApiError: the API refuses or fails.
            Unreachable: there is no answer.
        """
        sent = dict(headers or {})
        if wait:
            sent["Prefer"] = f"wait={wait}"
        if creates:
            sent[IDEMPOTENCY_KEY] = idempotency_key or str(uuid.uuid4())
        seconds = (timeout or self.timeout) + wait
        request = self._request(method, path, body=body, query=query, headers=sent, timeout=seconds)
        return await self._answered(request, is_stream=False)

    async def get(self, path: str, model: type[Answer], *, wait: int = 0) -> Answer:
        """An answer as its model."""
        return parsed(model, await self.call("GET", path, wait=wait))

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str], timeout: float | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A successful answer whose body is not read yet.

        Raises:
            ApiError: the API refuses or fails.
            Unreachable: there is no answer.
            httpx.TransportError: while the body is read.
        """
        request = self._request("GET", path, headers=headers, timeout=timeout or self.timeout)
        response = await self._answered(request, is_stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def pages(
        self, path: str, model: type[Answer], query: Mapping[str, str | None], limit: int | None
    ) -> AsyncIterator[Answer]:
        """All items of a list, at most `limit`, page by page."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = str(min(MAX_PAGE, left or MAX_PAGE))
            page = parsed(Page, await self.call("GET", path, query={**query, "limit": size, "cursor": cursor}))
            for item in page.items[:left]:
                yield model.model_validate(item)
            left = None if left is None else left - len(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> httpx.Request:
        parameters: dict[str, Any] = {name: value for name, value in (query or {}).items() if value is not None}
        ours = {"Authorization": f"Bearer {self._key}", "User-Agent": USER_AGENT}
        try:
            return self._client.build_request(
                method,
                f"{self.url}{PREFIX}{path}",
                json=body,
                params=parameters,
                headers={**ours, **headers},
                timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as exc:
            raise Unreachable(f"{self.url} is not a valid URL, or the key is not a valid key") from exc

    async def _answered(self, request: httpx.Request, *, is_stream: bool) -> httpx.Response:
        failures = 0
        while True:
            delay: float | None
            error: ApiError | Unreachable
            try:
                response = await self._client.send(request, stream=is_stream)
                if response.is_success:
                    return response
                await response.aread()
                await response.aclose()
                error = api_error(response)
                delay = delay_after_answer(request, error, failures)
            except httpx.TransportError as exc:
                error = Unreachable(f"{self.url} cannot be reached: {str(exc) or type(exc).__name__}")
                error.__cause__ = exc
                delay = delay_after_failure(request, exc, failures)
            except httpx.InvalidURL as exc:
                raise Unreachable(f"{self.url} is not a valid URL: {exc}") from exc
            if delay is None or failures >= self.retries:
                raise error
            failures += 1
            await pause(delay)
