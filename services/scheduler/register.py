"""Makes, changes and removes schedules: what would fail at every run is refused now."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from services.chassis.faults import Fault, Kind, Violation
from services.scheduler import time_zones
from services.scheduler.cron import Cron, parse
from services.scheduler.delivery_client import DeliveryClient
from services.scheduler.errors import BadRequest, IdReused, ScheduleChanging, ScheduleNotFound, TooManySchedules
from services.scheduler.exporter_client import ExporterClient
from services.scheduler.expression import CronError
from services.scheduler.misfire import Policy
from services.scheduler.schedule_store import ScheduleStore
from services.scheduler.schedules import Overlap, Schedule

LONGEST_NAME = 200
MOST_JITTER = 3_600
TRIES = 5

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a schedule should be; None: as it is, or the default."""

    platform_id: str | None = None
    name: str | None = None
    cron_expression: str | None = None
    timezone: str | None = None
    is_active: bool | None = None
    format: str | None = None
    options_json: str | None = None
    misfire: str | None = None
    overlap: str | None = None
    jitter_seconds: int | None = None

    @property
    def moves_time(self) -> bool:
        """Whether it changes when the schedule fires: the next time is then computed from now, without backfill."""
        return any(one is not None for one in (self.cron_expression, self.timezone, self.is_active))


class Register:
    """The tenants' schedules."""

    def __init__(
        self, store: ScheduleStore, exporter: ExporterClient, delivery: DeliveryClient, *, max_schedules: int
    ) -> None:
        self._store = store
        self._exporter = exporter
        self._delivery = delivery
        self._max_schedules = max_schedules

    async def create(self, tenant: str, wish: Wish, schedule_id: str) -> Schedule:
        """Make a schedule; repeating with the same id makes one.

        Raises:
            BadRequest: naming every field that is wrong.
            TooManySchedules, IdReused: see there.
        """
        chosen = _checked_id(schedule_id)
        if await self._store.count(tenant, self._max_schedules) >= self._max_schedules:
            raise TooManySchedules(self._max_schedules)
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
        )
        schedule = await self._checked(blank, wish, now, is_new=True)
        kept = await self._store.add(schedule)
        if (kept.tenant, kept.name, kept.cron_expression) != (tenant, schedule.name, schedule.cron_expression):
            raise IdReused
        return kept

    async def get(self, tenant: str, schedule_id: str) -> Schedule:
        """One schedule.

        Raises:
            ScheduleNotFound: the tenant has none of this id.
        """
        found = await self._store.get(tenant, schedule_id)
        if found is None:
            raise ScheduleNotFound(schedule_id)
        return found

    async def update(self, tenant: str, schedule_id: str, wish: Wish) -> Schedule:
        """Change what is given.

        Raises:
            BadRequest, ScheduleNotFound: as above.
            ScheduleChanging: others change it all the time.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, schedule_id)
            now = await self._store.now()
            kept = await self._store.change(await self._checked(old, wish, now, is_new=False))
            if kept is not None:
                return kept
        raise ScheduleChanging

    async def delete(self, tenant: str, schedule_id: str) -> None:
        """Forget a schedule; its runs stay on record.

        Raises:
            ScheduleNotFound: the tenant has none of this id.
        """
        if not await self._store.delete(tenant, schedule_id):
            raise ScheduleNotFound(schedule_id)

    async def _checked(self, old: Schedule, wish: Wish, now: datetime, *, is_new: bool) -> Schedule:
        """The schedule as it shall be, every field of it checked."""
        problems: list[Violation] = []
        new = replace(old, updated_at=now, **_plain(wish, problems))
        cron = _cron(new, problems)
        if is_new or wish.platform_id is not None or wish.is_active:
            problems += await self._platform_problems(new)
        if is_new or wish.format is not None or wish.options_json is not None:
            problems += await self._option_problems(new)
        if problems or cron is None:
            raise BadRequest(problems)
        if not (is_new or wish.moves_time):
            return new
        return replace(
            new,
            planned_until=max(now, old.planned_until),
            next_fire_at=cron.next_fire(max(now, old.planned_until)) if new.is_active else None,
            rules=time_zones.version(),
        )

    async def _platform_problems(self, new: Schedule) -> list[Violation]:
        try:
            uuid.UUID(new.platform_id)
        except ValueError:
            return [Violation("platform_id", "must be a platform's id, a UUID")]
        platform = await self._delivery.platform(new.tenant, new.platform_id)
        if platform is None:
            return [Violation("platform_id", "there is no such platform; register it first")]
        if not platform.is_active:
            return [Violation("platform_id", "this platform is not active; activate it first")]
        return []

    async def _option_problems(self, new: Schedule) -> list[Violation]:
        try:
            options = json.loads(new.options_json)
        except (ValueError, RecursionError) as exc:
            return [Violation("options", f"is not JSON: {exc}")]
        if not isinstance(options, dict):
            return [Violation("options", "must be a JSON object")]
        if "platform_ids" in options:
            return [Violation("options.platform_ids", "a scheduled export goes to its schedule's platform only")]
        try:
            await self._exporter.check(new.tenant, new.format, new.options_json)
        except Fault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return [Violation("format", fault.message)]
            if fault.kind is not Kind.INVALID:
                raise
            return [Violation(f"options.{v.field}", v.message) for v in fault.violations]
        return []


def _plain(wish: Wish, problems: list[Violation]) -> dict[str, Any]:
    """The fields that need nobody else to be checked."""
    changes: dict[str, Any] = {}
    for name in ("cron_expression", "timezone", "is_active", "format", "options_json"):
        if getattr(wish, name) is not None:
            changes[name] = getattr(wish, name)
    if wish.platform_id is not None:
        changes["platform_id"] = wish.platform_id.lower()
    if wish.name is not None:
        changes["name"] = _name(wish.name, problems)
    for name, kind in (("misfire", Policy), ("overlap", Overlap)):
        value = getattr(wish, name)
        if value is not None:
            changes[name] = _one_of(kind, name, value, problems)
    if wish.jitter_seconds is not None:
        changes["jitter_seconds"] = wish.jitter_seconds
        if not 0 <= wish.jitter_seconds <= MOST_JITTER:
            problems.append(Violation("jitter_seconds", f"must be 0 to {MOST_JITTER}"))
    return changes


def _name(name: str, problems: list[Violation]) -> str:
    stripped = name.strip()
    if not stripped or len(stripped) > LONGEST_NAME or not stripped.isprintable():
        problems.append(Violation("schedule_name", f"must be 1 to {LONGEST_NAME} printable characters"))
    return stripped


def _one_of(kind: Callable[[str], E], name: str, value: str, problems: list[Violation]) -> E | str:
    try:
        return kind(value)
    except ValueError:
        known = " or ".join(str(one) for one in kind)  # type: ignore[attr-defined]  # an enum class lists its members
        problems.append(Violation(name, f"must be {known}"))
        return value


def _cron(new: Schedule, problems: list[Violation]) -> Cron | None:
    try:
        return parse(new.cron_expression, new.timezone)
    except CronError as exc:
        problems.append(Violation(exc.field, exc.reason))
        return None


def _checked_id(text: str) -> str:
    try:
        return str(uuid.UUID(text)) if text else str(uuid.uuid4())
    except ValueError as exc:
        raise BadRequest([Violation("schedule_id", "is not a UUID")]) from exc
