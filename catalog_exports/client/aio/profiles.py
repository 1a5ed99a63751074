"""Profiles: exports that are saved under a name, with versions, and run again."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from catalog_exports.client.aio.http import AsyncHttp, segment
from catalog_exports.client.aio.jobs import AsyncJob
from catalog_exports.client.errors import parsed
from catalog_exports.client.models import JobData, Profile

ALL = "/exports/profiles"


class AsyncProfiles:
    """`client.profiles`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self,
        name: str,
        format: str,
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Profile:
        """Save a format and options under a name, which need not be unique."""
        body = {"name": name, "format": format, "options": options or {}}
        answer = await self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Profile, answer)

    async def get(self, profile_id: str) -> Profile:
        """One profile, in its newest version."""
        return await self._http.get(f"{ALL}/{segment(profile_id)}", Profile)

    async def list(
        self, *, name: str | None = None, format: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Profile]:
        """Profiles, newest first; only those whose name contains a text, or of a format."""
        async for profile in self._http.pages(ALL, Profile, {"name": name, "format": format}, limit):
            yield profile

    async def update(self, profile_id: str, **fields: Any) -> Profile:
        """Change `name`, `format` or `options`, which are replaced as a whole; makes a new version."""
        answer = await self._http.call("PATCH", f"{ALL}/{segment(profile_id)}", body=fields)
        return parsed(Profile, answer)

    async def versions(self, profile_id: str, *, limit: int | None = None) -> AsyncIterator[Profile]:
        """Its versions, newest first."""
        async for version in self._http.pages(f"{ALL}/{segment(profile_id)}/versions", Profile, {}, limit):
            yield version

    async def version(self, profile_id: str, number: int) -> Profile:
        """One of its versions."""
        return await self._http.get(f"{ALL}/{segment(profile_id)}/versions/{number}", Profile)

    async def run(
        self,
        profile_id: str,
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> AsyncJob:
        """Start an export with the profile.

        Args:
            options: replace those of the profile, each as a whole; None as a value removes one.
        """
        path, body = f"{ALL}/{segment(profile_id)}/run", {"options": options or {}}
        answer = await self._http.call("POST", path, body=body, creates=True, idempotency_key=idempotency_key)
        return AsyncJob(self._http, parsed(JobData, answer))

    async def delete(self, profile_id: str, *, force: bool = False) -> None:
        """Delete a profile with its versions; with `force` also if schedules export it."""
        await self._http.call("DELETE", f"{ALL}/{segment(profile_id)}", query={"force": "true" if force else None})
