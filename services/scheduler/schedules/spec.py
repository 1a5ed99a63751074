"""The requested properties of a schedule, and those checks that need no other service. Pure."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

from services.chassis.display_names import checked_name
from services.chassis.faults import BadRequest, Violation
from services.scheduler.cron.cron import Cron, parse
from services.scheduler.cron.expression import CronError
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.schedule import Overlap, Schedule

MAX_JITTER_SECONDS = 3_600
MAX_FULL_EVERY = 1_000
_LATER_FIELDS = ("profile_id", "changes", "skip_empty", "full_every")

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
    profile_id: str | None = None
    changes: bool | None = None
    skip_empty: bool | None = None
    full_every: int | None = None


def request_hash(spec: ScheduleSpec) -> str:
    """Recognizes a repeated request; how the JSON of its options is written makes no difference."""
    try:
        options: Any = None if spec.options_json is None else json.loads(spec.options_json)
    except (ValueError, RecursionError):  # it is rejected anyway
        options = spec.options_json
    given = {**asdict(spec), "options_json": options}
    for name in _LATER_FIELDS:  # older versions had none of these, and their hashes are stored
        if given[name] is None:
            del given[name]
    text = json.dumps(given, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def changes(spec: ScheduleSpec, old: Schedule, problems: list[Violation]) -> dict[str, Any]:
    """The fields of a schedule that the spec sets; violations are added to `problems`."""
    found: dict[str, Any] = {}
    for name in ("cron_expression", "timezone", "is_active", "changes", "skip_empty", "full_every"):
        if getattr(spec, name) is not None:
            found[name] = getattr(spec, name)
    found |= _export(spec, old, problems)
    if spec.platform_id is not None:
        found["platform_id"] = _id("platform", spec.platform_id, problems)
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
    if not 0 <= found.get("full_every", 0) <= MAX_FULL_EVERY:
        problems.append(Violation("full_every", f"must be 0 to {MAX_FULL_EVERY}"))
    if found.get("platform_id", old.platform_id) != old.platform_id:  # it does not have the earlier files
        found["is_baseline_reset"] = True
    return found


def cron_of(expression: str, timezone: str, problems: list[Violation]) -> Cron | None:
    """The expression in its time zone; None when one of the two is invalid, which is added to `problems`."""
    try:
        return parse(expression, timezone)
    except CronError as exc:
        problems.append(Violation(exc.field, exc.reason))
        return None


def _export(spec: ScheduleSpec, old: Schedule, problems: list[Violation]) -> dict[str, str]:
    """What is exported: a profile, or a format with options. One replaces the other."""
    if spec.profile_id is not None:
        if spec.format is not None or spec.options_json is not None:
            problems.append(Violation("profile_id", "must be alone: format and options are those of the profile"))
        return {"profile_id": _id("profile", spec.profile_id, problems), "format": "", "options_json": ""}
    if spec.format is None and spec.options_json is None:
        return {}
    if old.profile_id and spec.format is None:
        problems.append(Violation("format", "is required where options replace a profile"))
    return {
        "profile_id": "",
        "format": old.format if spec.format is None else spec.format,
        "options_json": (old.options_json or "{}") if spec.options_json is None else spec.options_json,
    }


def _id(kind: str, text: str, problems: list[Violation]) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        problems.append(Violation(f"{kind}_id", f"must be the UUID of a {kind}"))
        return text


def _name(name: str, problems: list[Violation]) -> str:
    try:
        return checked_name(name, "schedule_name")
    except BadRequest as exc:
        problems += exc.violations
        return name


def _one_of(kind: type[E], name: str, value: str, problems: list[Violation]) -> E | str:
    try:
        return kind(value)
    except ValueError:
        problems.append(Violation(name, f"must be {' or '.join(kind)}"))
        return value
