"""Environment variables that every process reads; each service's `settings.py` extends them."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Tenants = frozenset[str] | None
"""Names of tenants; None: all tenants."""


class ProcessSettings(BaseSettings):
    """Settings shared by all services. A variable is named like its field, in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Variables of earlier versions, with the names that they have now."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level that is logged; for libraries never below WARNING."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object per line, or readable text."
    )
    mongodb_uri: str = Field(
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0",
        description="MongoDB connection string; must be a replica set.",
    )
    nats_url: str = Field(
        default="nats://127.0.0.1:4222", description="NATS server with JetStream; tls:// enables TLS."
    )
    nats_ca_file: Path | None = Field(
        default=None, description="CA certificates for NATS over TLS, PEM. Default: the system's."
    )
    shutdown_notice: float = Field(
        default=0.0,
        ge=0,
        description="Seconds to report NOT_SERVING before calls are refused; set it to the probe period.",
    )
    shutdown_grace: float = Field(
        default=20.0, ge=0, description="Seconds that running calls get to finish after SIGTERM."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address for metrics.")
    metrics_port: int = Field(
        default=9090, ge=0, le=65535, description="Port for /metrics and /healthz; 0 picks a free one."
    )
    otel_traces_exporter: Literal["otlp", "console", "none"] | None = Field(
        default=None, description="Where spans are sent. Default: OTLP if an endpoint is set, otherwise nowhere."
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="Collector, such as http://collector:4317. Setting it turns tracing on."
    )
    otel_exporter_otlp_traces_endpoint: str | None = Field(default=None, description="The same, for traces only.")
    otel_exporter_otlp_protocol: Literal["grpc", "http/protobuf"] = Field(
        default="grpc", description="Protocol of the collector: grpc (port 4317) or http/protobuf (4318)."
    )
    otel_exporter_otlp_traces_protocol: Literal["grpc", "http/protobuf"] | None = Field(
        default=None, description="The same, for traces only."
    )
    otel_sdk_disabled: bool = Field(default=False, description="Turns tracing off, whatever else is set.")
    tls_cert_file: Path | None = Field(
        default=None,
        description="This process's certificate chain, PEM. Default: gRPC without TLS.",
    )
    tls_key_file: Path | None = Field(default=None, description="Private key of the certificate, PEM.")
    tls_ca_file: Path | None = Field(default=None, description="CA certificates that peers are verified against, PEM.")

    @property
    def traces_wanted(self) -> bool:
        """Whether this process creates and sends spans."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return False
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        return self.otel_traces_exporter is not None or endpoint is not None

    @model_validator(mode="after")
    def _all_of_tls_or_none(self) -> Self:
        files = {
            "TLS_CERT_FILE": self.tls_cert_file,
            "TLS_KEY_FILE": self.tls_key_file,
            "TLS_CA_FILE": self.tls_ca_file,
        }
        missing = [name for name, file in files.items() if file is None]
        if missing and len(missing) < len(files):
            raise ValueError(f"mTLS needs all of {', '.join(files)}; {' and '.join(missing)} not set")
        return self


class RpcSettings(ProcessSettings):
    """Settings of a process that serves gRPC."""

    grpc_host: str = Field(default="127.0.0.1", description="Address for gRPC and its health service; 0.0.0.0 for all.")
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="Port for gRPC; 0 picks a free one.")
    health_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Extra port without TLS that serves only health, for probes that cannot speak TLS; 0 picks a free "
        "one. Default: health is on GRPC_PORT only.",
    )
    grpc_callers: str = Field(
        default="",
        description="With mTLS: further callers, by the name in their certificate, with their tenants, and tenants of "
        "the services: `shop=acme,globex; reports=*; delivery=acme`.",
    )
    grpc_reflection: bool = Field(default=True, description="Whether the server describes its methods to clients.")

    @field_validator("grpc_callers")
    @classmethod
    def _callers(cls, text: str) -> str:
        parse_callers(text)
        return text


def parse_callers(text: str) -> dict[str, Tenants]:
    """Callers and their tenants, from `shop=acme,globex; reports=*`.

    Raises:
        ValueError: it has another form.
    """
    found: dict[str, Tenants] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, tenants = (word.strip() for word in part.partition("="))
        names = [tenant.strip() for tenant in tenants.split(",")]
        if not name or not all(names) or name in found or ("*" in names and len(names) > 1):
            raise ValueError(f"{part!r} must be a caller, '=', and '*' or tenants separated by commas, once per caller")
        found[name] = None if names == ["*"] else frozenset(names)
    return found
