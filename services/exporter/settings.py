"""Environment variables of the exporter."""

from pydantic import Field

from services.chassis.settings import RpcSettings
from services.limits import LimitSettings


class ExporterSettings(LimitSettings, RpcSettings):
    """Settings of the exporter. Times are in seconds unless the name says otherwise."""

    catalogue_uri: str | None = Field(default=None, description="MongoDB with the catalogues. Default: MONGODB_URI.")
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where finished files are kept: file:///folder or s3://bucket/prefix.",
    )
    worker_jobs: int = Field(
        default=4,
        ge=0,
        le=64,
        description="Concurrent exports, and one more of a tenant that has none running here; 0: none.",
    )
    lease_seconds: float = Field(
        default=30.0, gt=0, description="Time without a heartbeat after which a job is taken over."
    )
    dispatch_seconds: float = Field(
        default=60.0, gt=0, description="Interval between checks for wake-ups that NATS has lost; they are sent again."
    )
    max_attempts: int = Field(default=10, ge=1, le=100, description="Attempts before a job fails.")
    retry_seconds: float = Field(
        default=2.0, gt=0, description="First delay after a transient fault; doubles, up to 300."
    )
    retention_hours: float = Field(default=168.0, gt=0, description="How long finished files are kept.")
    history_days: float = Field(default=30.0, gt=0, description="How long finished jobs are kept.")
    sweep_seconds: float = Field(
        default=60.0, gt=0, description="Interval between clean-ups of expired files and jobs."
    )
    max_columns: int = Field(default=10_000, ge=1, description="Columns of a flat file; a job with more fails.")
    escape_formulas: bool = Field(default=False, description="Default of the option with the same name.")
