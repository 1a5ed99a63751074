"""Environment variables of the gateway."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.chassis.networks import Networks
from services.gateway.http.cors import parse_origins
from services.limits import LimitSettings


def _valid_origins(text: str) -> str:
    parse_origins(text)
    return text


class GatewaySettings(LimitSettings):
    """Settings of the gateway."""

    gateway_host: str = Field(default="127.0.0.1", description="Address for REST; 0.0.0.0 for all.")
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="Port for REST; 0 picks a free one.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/]+(/.*)?$",
        description="URL of the gateway as clients see it, for links. Default: the request's own.",
    )
    api_contact: str = Field(
        default="",
        pattern=r"^(https?://\S+|[^\s@]+@[^\s@]+)?$",
        description="Web page or mail address for users of the API; shown in its reference.",
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
        min_length=32, description="Secret that signs download links; the same on all replicas."
    )
    signing_key_previous: SecretStr | None = Field(
        default=None, min_length=32, description="SIGNING_KEY before the last rotation; its links still work."
    )
    link_hours: float = Field(default=24.0, gt=0, description="Longest time a signed link works.")
    rpc_deadline: float = Field(default=25.0, gt=0, description="Timeout of calls to other services, in seconds.")
    attempt_limit: int = Field(
        default=60, ge=1, description="Unknown API keys per minute and client address, on each replica."
    )
    trusted_proxies: Networks = Field(
        default="",
        description="Networks of proxies whose X-Forwarded-For, -Proto and -Host are trusted: "
        "`10.0.0.0/8, 192.168.7.4`.",
    )
    cors_origins: Annotated[str, AfterValidator(_valid_origins)] = Field(
        default="",
        description="Origins whose web pages may call the gateway: `https://shop.example.com`, separated by "
        "commas, or `*`. Default: none.",
    )
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024, description="Largest request body.")
    body_timeout: float = Field(default=60.0, gt=0, description="Time a client may take to send a body, in seconds.")
    keepalive_timeout: float = Field(
        default=75.0,
        gt=0,
        description="Time a connection may be idle, or take to send the headers of a request, in seconds.",
    )
    max_downloads: int = Field(default=128, ge=1, description="Concurrent downloads on each replica.")
    max_downloads_per_key: int = Field(
        default=16, ge=1, description="Concurrent downloads per API key, including its links, on each replica."
    )
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Time after which a download is aborted if the client stops reading."
    )
    audit_days: float = Field(
        default=365.0, gt=0, le=20_000, description="How long the entries of the audit log are kept, of all services."
    )
