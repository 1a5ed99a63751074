"""What the exporter reads from its environment."""

from pydantic import Field

from services.chassis.settings import RpcSettings


class ExporterSettings(RpcSettings):
    """Settings of the exporter; times in seconds unless the name says otherwise."""

    catalogue_uri: str | None = Field(default=None, description="MongoDB of the catalogues; absent: MONGODB_URI.")
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where finished files are kept: file:///folder or s3://bucket/prefix.",
    )
    worker_jobs: int = Field(default=4, ge=0, le=64, description="Exports run at once; 0: this process runs none.")
    lease_seconds: float = Field(
        default=30.0, gt=0, description="A job whose worker is silent this long is taken over."
    )
    dispatch_seconds: float = Field(default=60.0, gt=0, description="After this long without a worker: woken again.")
    max_attempts: int = Field(default=10, ge=1, le=100, description="Attempts at a job before it fails.")
    retry_seconds: float = Field(
        default=2.0, gt=0, description="First delay after a transient fault; doubles, up to 300."
    )
    retention_hours: float = Field(default=168.0, gt=0, description="How long a finished file is kept.")
    history_days: float = Field(default=30.0, gt=0, description="How long an ended job is remembered.")
    sweep_seconds: float = Field(default=60.0, gt=0, description="Between two rounds of retention and clean-up.")
    max_live_jobs: int = Field(default=1000, ge=1, description="Waiting and running jobs a tenant may have.")
    max_columns: int = Field(default=10_000, ge=1, description="Columns of a flat file; more: the job fails.")
    escape_formulas: bool = Field(default=False, description="Default of the option of the same name.")
