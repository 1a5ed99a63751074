"""Schedules: recurring exports, their runs, and their next times."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from catalog_exports.client.aio.http import AsyncHttp, segment
from catalog_exports.client.errors import parsed
from catalog_exports.client.models import Baseline, FireTime, FireTimes, Run, Schedule

ALL = "/exports/schedules"


class AsyncSchedules:
    """`client.schedules`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
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
        answer = await self._http.call("POST", ALL, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Schedule, answer)

    async def get(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return await self._http.get(f"{ALL}/{segment(schedule_id)}", Schedule)

    async def list(self, *, limit: int | None = None) -> AsyncIterator[Schedule]:
        """Schedules, newest first."""
        async for schedule in self._http.pages(ALL, Schedule, {}, limit):
            yield schedule

    async def update(self, schedule_id: str, **fields: Any) -> Schedule:
        """Change fields; `is_active` pauses and resumes."""
        answer = await self._http.call("PATCH", f"{ALL}/{segment(schedule_id)}", body=fields)
        return parsed(Schedule, answer)

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule; its exports stay."""
        await self._http.call("DELETE", f"{ALL}/{segment(schedule_id)}")

    async def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> Run:
        """Start one run now, also of a paused schedule."""
        path = f"{ALL}/{segment(schedule_id)}/run"
        answer = await self._http.call("POST", path, creates=True, idempotency_key=idempotency_key)
        return parsed(Run, answer)

    async def runs(self, schedule_id: str, *, limit: int | None = None) -> AsyncIterator[Run]:
        """Its runs, newest first."""
        async for run in self._http.pages(f"{ALL}/{segment(schedule_id)}/runs", Run, {}, limit):
            yield run

    async def baseline(self, schedule_id: str) -> Baseline:
        """What its next file with changes is based on."""
        return await self._http.get(f"{ALL}/{segment(schedule_id)}/baseline", Baseline)

    async def reset_baseline(self, schedule_id: str) -> None:
        """Let its next file have all rows."""
        await self._http.call("POST", f"{ALL}/{segment(schedule_id)}/baseline/reset")

    async def upcoming(self, schedule_id: str, *, count: int = 10) -> tuple[FireTime, ...]:
        """Its next times."""
        answer = await self._http.call("GET", f"{ALL}/{segment(schedule_id)}/upcoming", query={"count": str(count)})
        return parsed(FireTimes, answer).items

    async def preview(self, cron_expression: str, *, timezone: str = "UTC", count: int = 10) -> tuple[FireTime, ...]:
        """The next times of an expression, and what clock changes do to them."""
        body = {"cron_expression": cron_expression, "timezone": timezone, "count": count}
        answer = await self._http.call("POST", f"{ALL}/preview", body=body)
        return parsed(FireTimes, answer).items
