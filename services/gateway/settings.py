"""What the gateway reads from its environment."""

from pydantic import Field, SecretStr

from services.chassis.settings import ProcessSettings


class GatewaySettings(ProcessSettings):
    """Settings of the gateway."""

    gateway_host: str = Field(default="127.0.0.1", description="Where REST listens; 0.0.0.0: everywhere.")
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="0 chooses a free port.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/]+(/.*)?$",
        description="Where clients reach the gateway, for links; absent: as the request names it.",
    )
    exporter_address: str = Field(
        default="127.0.0.1:50051", description="host:port, or dns:///headless-service:port for all replicas."
    )
    delivery_address: str | None = Field(
        default=None, description="The same of the delivery service; absent: there are no platforms."
    )
    scheduler_address: str | None = Field(
        default=None, description="The same of the scheduler; absent: there are no schedules."
    )
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where the exporter keeps finished files: file:///folder or s3://bucket/prefix.",
    )
    signing_key: SecretStr = Field(
        min_length=16, description="Secret that signs download links; the same on all replicas."
    )
    link_hours: float = Field(default=24.0, gt=0, description="How long a signed link works, at most.")
    rpc_deadline: float = Field(default=25.0, gt=0, description="Seconds a service behind has to answer.")
    rate_limit: int = Field(default=600, ge=1, description="Requests a minute and key, on each replica.")
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024, description="Of a request's body.")
    stall_seconds: float = Field(default=60.0, gt=0, description="A download whose client takes nothing is broken off.")
