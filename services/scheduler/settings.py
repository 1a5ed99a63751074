"""Environment variables of the scheduler."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from services.chassis.settings import RpcSettings
from services.limits import LimitSettings


class SchedulerSettings(LimitSettings, RpcSettings):
    """Settings of the scheduler. Times are in seconds unless the name says otherwise."""

    renamed: ClassVar[Mapping[str, str]] = {
        "RETRY_SECONDS": "RUN_RETRY_SECONDS",
        "HISTORY_DAYS": "RUN_HISTORY_DAYS",
    }

    exporter_address: str = Field(
        default="127.0.0.1:50051", description="Exporter: host:port, or dns:///headless-service:port for all replicas."
    )
    delivery_address: str | None = Field(default=None, description="The same for delivery. Default: no platforms.")
    rpc_deadline: float = Field(default=25.0, gt=0, description="Timeout of calls to other services, in seconds.")
    tick_seconds: float = Field(default=0.5, gt=0, description="Interval between checks for due schedules.")
    tick_batch: int = Field(default=500, ge=1, le=10_000, description="Most schedules and runs per check.")
    run_concurrency: int = Field(default=16, ge=1, le=256, description="Runs that are processed concurrently.")
    grace_seconds: float = Field(
        default=3_600.0, gt=0, description="Grace period: a run that is later than this is missed."
    )
    run_retry_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Delay before a run that could not be submitted, or has to wait, is tried again.",
    )
    follow_seconds: float = Field(default=60.0, gt=0, description="Interval between checks for a run's outcome.")
    run_history_days: float = Field(default=90.0, gt=0, description="How long finished runs are kept.")
