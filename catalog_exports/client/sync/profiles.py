# Generated from ../aio by `make client`; do not edit.
"""Profiles: exports that are saved under a name, with versions, and run again."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog_exports.client.errors import parsed
from catalog_exports.client.models import JobData, Profile
from catalog_exports.client.sync.http import Http, segment
from catalog_exports.client.sync.jobs import Job

ALL = "/exports/profiles"


class Profiles:
    """`client.profiles`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        format: str,
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Profile:
        """Save a format and options under a name, which need not be unique."""
        body = {"name": name, "format": format, "options": options or {}}
        answer = self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Profile, answer)

    def get(self, profile_id: str) -> Profile:
        """One profile, in its newest version."""
        return self._http.get(f"{ALL}/{segment(profile_id)}", Profile)

    def list(
        self, *, name: str | None = None, format: str | None = None, limit: int | None = None
    ) -> Iterator[Profile]:
        """Profiles, newest first; only those whose name contains a text, or of a format."""
        for profile in self._http.pages(ALL, Profile, {"name": name, "format": format}, limit):
            yield profile

    def update(self, profile_id: str, **fields: Any) -> Profile:
        """Change `name`, `format` or `options`, which are replaced as a whole; makes a new version."""
        answer = self._http.call("PATCH", f"{ALL}/{segment(profile_id)}", body=fields)
        return parsed(Profile, answer)

    def versions(self, profile_id: str, *, limit: int | None = None) -> Iterator[Profile]:
        """Its versions, newest first."""
        for version in self._http.pages(f"{ALL}/{segment(profile_id)}/versions", Profile, {}, limit):
            yield version

    def version(self, profile_id: str, number: int) -> Profile:
        """One of its versions."""
        return self._http.get(f"{ALL}/{segment(profile_id)}/versions/{number}", Profile)

    def run(
        self,
        profile_id: str,
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Job:
        """Start an export with the profile.

        Args:
            options: replace those of the profile, each as a whole; None as a value removes one.
        """
        path, body = f"{ALL}/{segment(profile_id)}/run", {"options": options or {}}
        answer = self._http.call("POST", path, body=body, creates=True, idempotency_key=idempotency_key)
        return Job(self._http, parsed(JobData, answer))

    def delete(self, profile_id: str, *, force: bool = False) -> None:
        """Delete a profile with its versions; with `force` also if schedules export it."""
        self._http.call("DELETE", f"{ALL}/{segment(profile_id)}", query={"force": "true" if force else None})
