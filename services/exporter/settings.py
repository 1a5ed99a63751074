"""The settings of the exporter, read from the environment."""

from pydantic import Field

from services.chassis.settings import RpcSettings


class ExporterSettings(RpcSettings):
    """Settings of the exporter; times in seconds unless the name has another unit."""

    catalogue_uri: str | None = Field(default=None, description="MongoDB of the catalogues; default: MONGODB_URI.")
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where finished files are stored: file:///folder or s3://bucket/prefix.",
    )
    worker_jobs: int = Field(default=4, ge=0, le=64, description="Exports that run at the same time; 0: none.")
    lease_seconds: float = Field(
        default=30.0, gt=0, description="A job whose worker sends no heartbeat for this long is taken over by another."
    )
    dispatch_seconds: float = Field(
        default=60.0, gt=0, description="A job that no worker claims in this time is announced again."
    )
    max_attempts: int = Field(default=10, ge=1, le=100, description="Attempts before a job fails.")
    retry_seconds: float = Field(
        default=2.0, gt=0, description="First delay after a transient fault; doubles, up to 300."
    )
    retention_hours: float = Field(default=168.0, gt=0, description="How long finished files are kept.")
    history_days: float = Field(default=30.0, gt=0, description="How long ended jobs are kept.")
    sweep_seconds: float = Field(default=60.0, gt=0, description="Time between two rounds of retention and clean-up.")
    max_live_jobs: int = Field(default=1000, ge=1, description="Waiting and running jobs a tenant may have.")
    max_columns: int = Field(default=10_000, ge=1, description="Columns of a flat file; with more, the job fails.")
    escape_formulas: bool = Field(default=False, description="Default of the option with the same name.")
