# Generated from ../aio by `make client`; do not edit.
"""Platforms: the places that files are delivered to."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog_exports.client.errors import parsed
from catalog_exports.client.models import Platform, PlatformTest
from catalog_exports.client.sync.http import Http, segment

ALL = "/exports/platforms"
TEST_TIMEOUT = 90.0
"""The API gives a test a minute."""


class Platforms:
    """`client.platforms`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
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
        answer = self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Platform, answer)

    def get(self, platform_id: str) -> Platform:
        """One platform."""
        return self._http.get(f"{ALL}/{segment(platform_id)}", Platform)

    def list(self, *, limit: int | None = None) -> Iterator[Platform]:
        """Platforms, newest first."""
        for platform in self._http.pages(ALL, Platform, {}, limit):
            yield platform

    def update(self, platform_id: str, **fields: Any) -> Platform:
        """Change `name`, `is_active` or `config`, which is merged key by key."""
        answer = self._http.call("PATCH", f"{ALL}/{segment(platform_id)}", body=fields)
        return parsed(Platform, answer)

    def test(self, platform_id: str) -> PlatformTest:
        """Connect, write a file, read it back, delete it. A failed step is a result, not an exception."""
        answer = self._http.call("POST", f"{ALL}/{segment(platform_id)}/test", timeout=TEST_TIMEOUT)
        return parsed(PlatformTest, answer)

    def delete(self, platform_id: str, *, force: bool = False) -> None:
        """Delete a platform and its secrets; with `force` also if schedules deliver to it."""
        self._http.call("DELETE", f"{ALL}/{segment(platform_id)}", query={"force": "true" if force else None})
