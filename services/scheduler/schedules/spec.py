"""The requested properties of a schedule, and those checks that need no other service. Pure."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from services.chassis.faults import Violation
from services.scheduler.cron.cron import Cron, parse
from services.scheduler.cron.expression import CronError
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.schedule import Overlap

MAX_NAME_LENGTH = 200
MAX_JITTER_SECONDS = 3_600

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """The requested properties of a schedule; None: unchanged, or the default."""

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


def changes(spec: ScheduleSpec, problems: list[Violation]) -> dict[str, Any]:
    """The fields of a schedule that the spec sets; violations are added to `problems`."""
    found: dict[str, Any] = {}
    for name in ("cron_expression", "timezone", "is_active", "format", "options_json"):
        if getattr(spec, name) is not None:
            found[name] = getattr(spec, name)
    if spec.platform_id is not None:
        found["platform_id"] = _platform_id(spec.platform_id, problems)
    if spec.name is not None:
        found["name"] = _name(spec.name, problems)
    if spec.misfire is not None:
        found["misfire"] = _one_of(Policy, "misfire", spec.misfire, problems)
    if spec.overlap is not None:
        found["overlap"] = _one_of(Overlap, "overlap", spec.overlap, problems)
    if spec.jitter_seconds is not None:
        found["jitter_seconds"] = spec.jitter_seconds
        if not 0 <= spec.jitter_seconds <= MAX_JITTER_SECONDS:
            problems.append(Violation("jitter", f"must be 0 to {MAX_JITTER_SECONDS}"))
    return found


def cron_of(expression: str, timezone: str, problems: list[Violation]) -> Cron | None:
    """The expression in its time zone; None when one of the two is invalid, which is added to `problems`."""
    try:
        return parse(expression, timezone)
    except CronError as exc:
        problems.append(Violation(exc.field, exc.reason))
        return None


def _platform_id(text: str, problems: list[Violation]) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        problems.append(Violation("platform_id", "must be the UUID of a platform"))
        return text


def _name(name: str, problems: list[Violation]) -> str:
    stripped = name.strip()
    if not stripped or len(stripped) > MAX_NAME_LENGTH or not stripped.isprintable():
        problems.append(Violation("schedule_name", f"must be 1 to {MAX_NAME_LENGTH} printable characters"))
    return stripped


def _one_of(kind: type[E], name: str, value: str, problems: list[Violation]) -> E | str:
    try:
        return kind(value)
    except ValueError:
        problems.append(Violation(name, f"must be {' or '.join(kind)}"))
        return value
