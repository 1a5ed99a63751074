"""Environment variables of the exporter."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from services.chassis.settings import RpcSettings
from services.limits import LimitSettings


class ExporterSettings(LimitSettings, RpcSettings):
    """Settings of the exporter. Times are in seconds unless the name says otherwise."""

    renamed: ClassVar[Mapping[str, str]] = {
        "LEASE_SECONDS": "JOB_LEASE_SECONDS",
        "MAX_ATTEMPTS": "JOB_MAX_ATTEMPTS",
        "RETRY_SECONDS": "JOB_RETRY_SECONDS",
        "HISTORY_DAYS": "JOB_HISTORY_DAYS",
    }

    catalogue_uri: str | None = Field(
        default=None,
        description="MongoDB with the catalogues; readPreference allows secondaries. Default: MONGODB_URI.",
    )
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where finished files are kept: file:///folder or s3://bucket/prefix.",
    )
    worker_jobs: int = Field(
        default=4,
        ge=0,
        le=64,
        description="Concurrent exports, of which four small ones count as one, and one more of a tenant that has none "
        "running here; 0: none.",
    )
    job_lease_seconds: float = Field(
        default=10.0, gt=0, description="Time without a heartbeat after which a job is taken over."
    )
    dispatch_seconds: float = Field(
        default=60.0, gt=0, description="Interval between checks for wake-ups that NATS has lost; they are sent again."
    )
    stream_replicas: int = Field(
        default=1,
        ge=1,
        le=5,
        description="Replicas of the streams in NATS, at least; NATS needs as many servers.",
    )
    job_max_attempts: int = Field(default=10, ge=1, le=100, description="Attempts before a job fails.")
    job_retry_seconds: float = Field(
        default=2.0, gt=0, description="First delay after a transient fault; doubles, up to 300."
    )
    retention_hours: float = Field(default=168.0, gt=0, description="How long finished files are kept.")
    manifest_days: float = Field(
        default=30.0,
        gt=0,
        description="How long the manifests of finished files are kept, at most JOB_HISTORY_DAYS: as long as "
        "others can have the changes since then.",
    )
    job_history_days: float = Field(default=30.0, gt=0, description="How long finished jobs are kept.")
    sweep_seconds: float = Field(
        default=60.0, gt=0, description="Interval between clean-ups of expired files and jobs."
    )
    max_columns: int = Field(default=10_000, ge=1, description="Columns of a flat file; a job with more fails.")
    pod_name: str | None = Field(
        default=None,
        description="The Kubernetes pod of this worker, whose pod-deletion-cost follows its work. Default: none.",
    )
    service_account: Path = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        description="Folder with token, ca.crt and namespace for the Kubernetes API; used with POD_NAME.",
    )
    kubernetes_service_host: str = Field(
        default="kubernetes.default.svc", description="Kubernetes API; Kubernetes sets it."
    )
    kubernetes_service_port: int = Field(default=443, ge=1, le=65535, description="Its port; Kubernetes sets it.")
    escape_formulas: bool = Field(default=False, description="Default of the option with the same name.")
