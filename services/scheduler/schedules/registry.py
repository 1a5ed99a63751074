"""Creates, changes and deletes schedules. A request that would fail at every run is rejected."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

from services.chassis import json_text
from services.chassis.faults import BadRequest, Fault, Kind, Outdated, Violation, check_unchanged
from services.chassis.rpc.requests import chosen_id
from services.limits import Limits
from services.scheduler.clients import DeliveryClient, ExporterClient
from services.scheduler.cron import time_zones
from services.scheduler.cron.misfire import Policy
from services.scheduler.errors import IdReused, ScheduleChanging, ScheduleNotFound, TooManySchedules
from services.scheduler.schedules.schedule import Overlap, Schedule
from services.scheduler.schedules.spec import ScheduleSpec, changes, cron_of, request_hash
from services.scheduler.schedules.store import ScheduleStore

MAX_TRIES = 5
MAX_OPTIONS_BYTES = 256 * 1024
"""Lists and the tick hold the options of hundreds of schedules in memory."""
# Fields of the exporter's request; its other violations name a path in the options.
REQUEST_FIELDS = ("options_json", "tenant")


class ScheduleRegistry:
    """The tenants' schedules.

    Args:
        delivery: None: there are no platforms, and therefore no new schedules.
    """

    def __init__(
        self, store: ScheduleStore, exporter: ExporterClient, delivery: DeliveryClient | None, limits: Limits
    ) -> None:
        self._store = store
        self._exporter = exporter
        self._delivery = delivery
        self._limits = limits

    async def create(self, tenant: str, spec: ScheduleSpec, schedule_id: str) -> tuple[Schedule, bool]:
        """Create a schedule; returns whether an earlier call with the same id has done it.

        Raises:
            BadRequest: names every invalid field.
            TooManySchedules: the tenant has reached the limit.
            IdReused: the id belongs to a different schedule.
        """
        chosen = chosen_id(schedule_id, "schedule_id")
        known = await self._store.get(tenant, chosen)
        if known is not None and known.request_hash:
            if known.request_hash != request_hash(spec):
                raise IdReused
            return known, True
        if known is None:
            await self._check_limit(tenant)
        now = await self._store.now()
        blank = Schedule(
            id=chosen,
            tenant=tenant,
            platform_id="",
            name="",
            cron_expression="",
            timezone="UTC",
            is_active=True,
            format="csv",
            options_json="{}",
            misfire=Policy.LATEST,
            overlap=Overlap.SKIP,
            jitter_seconds=0,
            created_at=now,
            updated_at=now,
            planned_until=now,
            next_fire_at=None,
            rules=time_zones.version(),
            request_hash=request_hash(spec),
        )
        schedule = await self._checked(blank, spec, now, is_new=True)
        kept = await self._store.add(schedule)
        if kept.request_hash:
            is_same = (kept.tenant, kept.request_hash) == (tenant, schedule.request_hash)
        else:
            is_same = _requested(kept) == _requested(schedule)
        if not is_same:
            raise IdReused
        return kept, known is not None

    async def get(self, tenant: str, schedule_id: str) -> Schedule:
        """One schedule.

        Raises:
            ScheduleNotFound: the tenant has no schedule with this id.
        """
        found = await self._store.get(tenant, schedule_id)
        if found is None:
            raise ScheduleNotFound(schedule_id)
        return found

    async def update(
        self, tenant: str, schedule_id: str, spec: ScheduleSpec, expected: datetime | None = None
    ) -> Schedule:
        """Change the given properties.

        Args:
            expected: when it has to have been changed last.

        Raises:
            BadRequest, ScheduleNotFound: as above.
            ScheduleChanging: concurrent changes won every time.
            Outdated: it was changed at another time than expected.
        """
        for _ in range(MAX_TRIES):
            old = await self.get(tenant, schedule_id)
            check_unchanged(old.updated_at, expected)
            now = await self._store.now()
            kept = await self._store.change(old, await self._checked(old, spec, now, is_new=False))
            if kept is not None:
                return kept
        raise ScheduleChanging

    async def reset_baseline(self, tenant: str, schedule_id: str) -> None:
        """Let the next run make a file with all rows.

        Raises:
            ScheduleNotFound, ScheduleChanging: as above.
        """
        for _ in range(MAX_TRIES):
            old = await self.get(tenant, schedule_id)
            if await self._store.change(old, replace(old, is_baseline_reset=True)) is not None:
                return
        raise ScheduleChanging

    async def delete(self, tenant: str, schedule_id: str, expected: datetime | None = None) -> None:
        """Delete a schedule; its runs are kept.

        Raises:
            ScheduleNotFound: the tenant has no schedule with this id.
            Outdated: it was changed at another time than expected.
        """
        if not await self._store.delete(tenant, schedule_id, expected):
            check_unchanged((await self.get(tenant, schedule_id)).updated_at, expected)
            raise Outdated

    async def _check_limit(self, tenant: str) -> None:
        limit = self._limits.of(tenant).max_schedules
        if await self._store.count(tenant, limit) >= limit:
            raise TooManySchedules(limit)

    async def _checked(self, old: Schedule, spec: ScheduleSpec, now: datetime, *, is_new: bool) -> Schedule:
        """The schedule with the spec applied and every field checked."""
        problems: list[Violation] = []
        new = replace(old, updated_at=now, **changes(spec, old, problems))
        cron = await asyncio.to_thread(cron_of, new.cron_expression, new.timezone, problems)
        known = {problem.field for problem in problems}
        if "platform_id" not in known and (is_new or spec.platform_id is not None or spec.is_active):
            problems += await self._platform_problems(new)
        if new.profile_id:
            if "profile_id" not in known and (spec.profile_id is not None or spec.is_active):
                problems += await self._profile_problems(new)
        elif is_new or spec.format is not None or spec.options_json is not None or spec.changes:
            problems += await self._option_problems(new)
        if problems or cron is None:
            raise BadRequest(problems)
        if not is_new and _times(new) == _times(old):
            return new
        # From now on, without backfill. A run's id contains its fire time, so a clock that is set back repeats none.
        following = await asyncio.to_thread(cron.next_fire, now) if new.is_active else None
        return replace(new, planned_until=now, next_fire_at=following, rules=time_zones.version())

    async def _platform_problems(self, new: Schedule) -> list[Violation]:
        if self._delivery is None:
            return [Violation("platform_id", "does not exist: there is no delivery service (DELIVERY_ADDRESS)")]
        platform = await self._delivery.platform(new.tenant, new.platform_id)
        if platform is None:
            return [Violation("platform_id", "does not exist; register the platform first")]
        if not platform.is_active:
            return [Violation("platform_id", "is not active; activate the platform first")]
        return []

    async def _profile_problems(self, new: Schedule) -> list[Violation]:
        if not await self._exporter.has_profile(new.tenant, new.profile_id):
            return [Violation("profile_id", "does not exist; create the profile first")]
        return []

    async def _option_problems(self, new: Schedule) -> list[Violation]:
        if len(new.options_json.encode()) > MAX_OPTIONS_BYTES:
            return [Violation("options_json", f"must be at most {MAX_OPTIONS_BYTES} bytes of JSON")]
        try:
            options = json.loads(new.options_json)
        except (ValueError, RecursionError) as exc:
            return [Violation("options_json", f"is not JSON: {exc}")]
        if not isinstance(options, dict):
            return [Violation("options_json", "must be a JSON object")]
        if "platform_ids" in options:
            message = "is not allowed: a scheduled export is delivered to its schedule's platform"
            return [Violation("options_json.platform_ids", message)]
        try:
            asked = json_text.with_member(new.options_json, "manifest", "true") if new.changes else new.options_json
            await self._exporter.check(new.tenant, new.format, asked)
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return [Violation("format", fault.message)]
            if fault.kind is not Kind.INVALID:
                raise
            return [
                v if v.field in REQUEST_FIELDS else Violation(f"options_json.{v.field}", v.message)
                for v in fault.violations
            ]
        return []


def _times(schedule: Schedule) -> tuple[str, str, bool]:
    """The properties that determine the fire times."""
    return schedule.cron_expression, schedule.timezone, schedule.is_active


def _requested(schedule: Schedule) -> Schedule:
    """The schedule with only the requested properties, for comparison."""
    then = datetime.min.replace(tzinfo=UTC)
    return replace(
        schedule,
        created_at=then,
        updated_at=then,
        planned_until=then,
        next_fire_at=None,
        rules="",
        version=1,
        request_hash="",
        head_job_id="",
        baseline_job_id="",
        is_baseline_reset=False,
    )
