# Generated from ../aio by `make client`; do not edit.
"""Schedules: recurring exports, their runs, and their next times."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog_exports.client.errors import parsed
from catalog_exports.client.models import Baseline, FireTime, FireTimes, Run, Schedule
from catalog_exports.client.sync.http import Http, segment

ALL = "/exports/schedules"


class Schedules:
    """`client.schedules`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        cron_expression: str,
        platform_id: str,
        *,
        timezone: str = "UTC",
        format: str | None = None,
        options: Mapping[str, Any] | None = None,
        profile_id: str | None = None,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Schedule:
        """Create a schedule; `fields` are the others of the REST API, such as `is_active`, `overlap` or `changes`.

        Args:
            format: csv when there is neither this nor a `profile_id`.
            profile_id: of the profile whose newest version each run exports, instead of `format` and `options`.
        """
        exported = {"format": format, "options": options, "profile_id": profile_id}
        body = {
            "schedule_name": name,
            "cron_expression": cron_expression,
            "platform_id": platform_id,
            "timezone": timezone,
            **{field: value for field, value in exported.items() if value is not None},
            **fields,
        }
        answer = self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Schedule, answer)

    def get(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return self._http.get(f"{ALL}/{segment(schedule_id)}", Schedule)

    def list(self, *, limit: int | None = None) -> Iterator[Schedule]:
        """Schedules, newest first."""
        for schedule in self._http.pages(ALL, Schedule, {}, limit):
            yield schedule

    def update(self, schedule_id: str, **fields: Any) -> Schedule:
        """Change fields; `is_active` pauses and resumes."""
        answer = self._http.call("PATCH", f"{ALL}/{segment(schedule_id)}", body=fields)
        return parsed(Schedule, answer)

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule; its exports stay."""
        self._http.call("DELETE", f"{ALL}/{segment(schedule_id)}")

    def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> Run:
        """Start one run now, also of a paused schedule."""
        path = f"{ALL}/{segment(schedule_id)}/run"
        answer = self._http.call("POST", path, creates=True, idempotency_key=idempotency_key)
        return parsed(Run, answer)

    def runs(self, schedule_id: str, *, limit: int | None = None) -> Iterator[Run]:
        """Its runs, newest first."""
        for run in self._http.pages(f"{ALL}/{segment(schedule_id)}/runs", Run, {}, limit):
            yield run

    def baseline(self, schedule_id: str) -> Baseline:
        """What its next file with changes is based on."""
        return self._http.get(f"{ALL}/{segment(schedule_id)}/baseline", Baseline)

    def reset_baseline(self, schedule_id: str) -> None:
        """Let its next file have all rows."""
        self._http.call("POST", f"{ALL}/{segment(schedule_id)}/baseline/reset")

    def upcoming(self, schedule_id: str, *, count: int = 10) -> tuple[FireTime, ...]:
        """Its next times."""
        answer = self._http.call("GET", f"{ALL}/{segment(schedule_id)}/upcoming", query={"count": str(count)})
        return parsed(FireTimes, answer).items

    def preview(self, cron_expression: str, *, timezone: str = "UTC", count: int = 10) -> tuple[FireTime, ...]:
        """The next times of an expression, and what clock changes do to them."""
        body = {"cron_expression": cron_expression, "timezone": timezone, "count": count}
        answer = self._http.call("POST", f"{ALL}/preview", body=body)
        return parsed(FireTimes, answer).items
