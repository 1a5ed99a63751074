"""Limits per tenant: their defaults, which are settings, and a file with other values for single tenants.

Beside `wire`, because every service enforces some of them; the chassis knows no business terms.
"""

import json
import time
from pathlib import Path
from typing import Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.chassis.faults import violations_of
from services.chassis.settings import ProcessSettings

log = structlog.get_logger()

CHECK_SECONDS = 2.0
"""How often the file is checked for changes."""


class TenantLimits(BaseModel):
    """The limits of a tenant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_live_jobs: int = Field(
        default=1_000, ge=1, description="Waiting and running jobs per tenant; more are rejected with 429."
    )
    max_artifact_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Bytes of a tenant's finished files from which new exports are rejected with 429. Default: none.",
    )
    max_platforms: int = Field(default=100, ge=1, description="Platforms per tenant.")
    max_profiles: int = Field(default=200, ge=1, description="Export profiles per tenant.")
    max_webhooks: int = Field(default=20, ge=1, description="Webhooks per tenant.")
    max_schedules: int = Field(default=10_000, ge=1, description="Schedules per tenant.")
    rate_limit: int = Field(default=600, ge=1, description="Requests per minute and API key, on each replica.")


class LimitSettings(TenantLimits, ProcessSettings):
    """The limits of tenants without limits of their own."""

    model_config = ProcessSettings.model_config

    limits_file: Path | None = Field(
        default=None,
        description='JSON file with other limits for single tenants: `{"shop": {"max_live_jobs": 10}}`; read again '
        "when it changes.",
    )

    @model_validator(mode="after")
    def _file_is_valid(self) -> Self:
        if self.limits_file is not None:
            _read(self.limits_file, _defaults(self))
        return self


class Limits:
    """The limits of each tenant."""

    def __init__(self, settings: LimitSettings) -> None:
        self._defaults = _defaults(settings)
        self._file = settings.limits_file
        self._tenants: dict[str, TenantLimits] = {}
        self._version: tuple[int, int, int] | None = None
        self._check_at = 0.0

    def of(self, tenant: str) -> TenantLimits:
        """The limits of a tenant, from the file as it was at most `CHECK_SECONDS` ago."""
        if self._file is not None and time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + CHECK_SECONDS
            self._refresh(self._file)
        return self._tenants.get(tenant, self._defaults)

    def _refresh(self, file: Path) -> None:
        """Read the file if it has changed; keep the limits that were read before if it is not valid."""
        try:
            found = file.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            version = (0, 0, 0)
        if version == self._version:
            return
        self._version = version
        try:
            self._tenants = _read(file, self._defaults)
        except ValueError as exc:
            log.error("limits_refused", action="limits", reason=str(exc))  # noqa: TRY400  the reason is enough


def _defaults(settings: LimitSettings) -> TenantLimits:
    return TenantLimits(**{name: getattr(settings, name) for name in TenantLimits.model_fields})


def _read(file: Path, defaults: TenantLimits) -> dict[str, TenantLimits]:
    """The limits of the tenants in the file.

    Raises:
        ValueError: it cannot be read, or has an unknown or invalid limit.
    """
    try:
        tenants = json.loads(file.read_text())
    except (OSError, ValueError) as exc:
        raise ValueError(f"LIMITS_FILE {file}: {exc}") from exc
    if not isinstance(tenants, dict) or not all(isinstance(limits, dict) for limits in tenants.values()):
        raise ValueError(f'LIMITS_FILE {file}: must be like {{"shop": {{"max_live_jobs": 10}}}}')
    return {tenant: _limits(file, tenant, {**defaults.model_dump(), **limits}) for tenant, limits in tenants.items()}


def _limits(file: Path, tenant: str, values: dict[str, object]) -> TenantLimits:
    try:
        return TenantLimits.model_validate(values)
    except ValidationError as exc:
        unknown = f"is no limit; there are {', '.join(TenantLimits.model_fields)}"
        wrong = "; ".join(f"{v.field} {v.message}" for v in violations_of(exc, unknown=unknown, prefix=tenant))
        raise ValueError(f"LIMITS_FILE {file}: {wrong}") from exc
