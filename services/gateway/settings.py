"""Environment variables of the gateway."""

from pydantic import Field, SecretStr

from services.chassis.settings import ProcessSettings


class GatewaySettings(ProcessSettings):
    """Settings of the gateway."""

    gateway_host: str = Field(default="127.0.0.1", description="Address for REST; 0.0.0.0 for all.")
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="Port for REST; 0 picks a free one.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/]+(/.*)?$",
        description="URL of the gateway as clients see it, for links. Default: the request's own.",
    )
    exporter_address: str = Field(
        default="127.0.0.1:50051", description="Exporter: host:port, or dns:///headless-service:port for all replicas."
    )
    delivery_address: str | None = Field(default=None, description="The same for delivery. Default: no platforms.")
    scheduler_address: str | None = Field(
        default=None, description="The same for the scheduler. Default: no schedules."
    )
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where the exporter keeps finished files: file:///folder or s3://bucket/prefix.",
    )
    signing_key: SecretStr = Field(
        min_length=16, description="Secret that signs download links; the same on all replicas."
    )
    link_hours: float = Field(default=24.0, gt=0, description="Longest time a signed link works.")
    rpc_deadline: float = Field(default=25.0, gt=0, description="Timeout of calls to other services, in seconds.")
    rate_limit: int = Field(default=600, ge=1, description="Requests per minute and API key, on each replica.")
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024, description="Largest request body.")
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Time after which a download is aborted if the client stops reading."
    )
