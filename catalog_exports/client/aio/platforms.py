"""Platforms: the places that files are delivered to."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from catalog_exports.client.aio.http import AsyncHttp, segment
from catalog_exports.client.errors import parsed
from catalog_exports.client.models import Platform, PlatformTest

ALL = "/exports/platforms"
TEST_TIMEOUT = 90.0
"""The API gives a test a minute."""


class AsyncPlatforms:
    """`client.platforms`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self,
        name: str,
        platform_type: str,
        config: Mapping[str, Any],
        *,
        is_active: bool = True,
        idempotency_key: str | None = None,
    ) -> Platform:
        """Register a platform; every completed export is delivered to it while it is active."""
        body = {"name": name, "platform_type": platform_type, "config": config, "is_active": is_active}
        answer = await self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Platform, answer)

    async def get(self, platform_id: str) -> Platform:
        """One platform."""
        return await self._http.get(f"{ALL}/{segment(platform_id)}", Platform)

    async def list(self, *, limit: int | None = None) -> AsyncIterator[Platform]:
        """Platforms, newest first."""
        async for platform in self._http.pages(ALL, Platform, {}, limit):
            yield platform

    async def update(self, platform_id: str, **fields: Any) -> Platform:
        """Change `name`, `is_active` or `config`, which is merged key by key."""
        answer = await self._http.call("PATCH", f"{ALL}/{segment(platform_id)}", body=fields)
        return parsed(Platform, answer)

    async def test(self, platform_id: str) -> PlatformTest:
        """Connect, write a file, read it back, delete it. A failed step is a result, not an exception."""
        answer = await self._http.call("POST", f"{ALL}/{segment(platform_id)}/test", timeout=TEST_TIMEOUT)
        return parsed(PlatformTest, answer)

    async def delete(self, platform_id: str, *, force: bool = False) -> None:
        """Delete a platform and its secrets; with `force` also if schedules deliver to it."""
        await self._http.call("DELETE", f"{ALL}/{segment(platform_id)}", query={"force": "true" if force else None})
