"""What every process reads from its environment; a service's own `settings.py` extends it."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Settings shared by all services; the name of a variable is the field's in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What is logged, from this level on; libraries never below WARNING."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or lines for people."
    )
    mongodb_uri: str = Field(
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0", description="MongoDB, always a replica set."
    )
    nats_url: str = Field(default="nats://127.0.0.1:4222", description="NATS server with JetStream; tls:// with TLS.")
    nats_ca_file: Path | None = Field(
        default=None, description="CAs that NATS servers with TLS are known by, PEM; absent: the system's."
    )
    shutdown_notice: float = Field(
        default=0.0, ge=0, description="Seconds of NOT_SERVING before calls are refused; behind a probe: its period."
    )
    shutdown_grace: float = Field(default=20.0, ge=0, description="Seconds calls may take to end after SIGTERM.")
    otel_traces_exporter: Literal["otlp", "console", "none"] | None = Field(
        default=None, description="Where spans go; absent: to OTLP when an endpoint is set, else nowhere."
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="Collector of traces, such as http://collector:4317; set: traces are on."
    )
    otel_exporter_otlp_traces_endpoint: str | None = Field(default=None, description="The same, for traces only.")
    otel_exporter_otlp_protocol: Literal["grpc", "http/protobuf"] = Field(
        default="grpc", description="What the collector speaks: grpc (port 4317) or http/protobuf (4318)."
    )
    otel_exporter_otlp_traces_protocol: Literal["grpc", "http/protobuf"] | None = Field(
        default=None, description="The same, for traces only."
    )
    otel_sdk_disabled: bool = Field(default=False, description="No traces, whatever else is set.")
    tls_cert_file: Path | None = Field(
        default=None,
        description="This process's certificate, PEM, with what leads to the CA; absent: gRPC without TLS.",
    )
    tls_key_file: Path | None = Field(default=None, description="The certificate's private key, PEM.")
    tls_ca_file: Path | None = Field(default=None, description="Certificates of the CAs whose peers are trusted, PEM.")

    @property
    def traces_wanted(self) -> bool:
        """Whether this process shall make spans and send them."""
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

    grpc_host: str = Field(default="127.0.0.1", description="Where gRPC and its health listen; 0.0.0.0: everywhere.")
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="0 chooses a free port.")
    health_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Plain gRPC with the health service and nothing else, for probes that speak no TLS; 0 chooses a "
        "free port, absent: health is on GRPC_PORT only.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Where the metrics listen.")
    metrics_port: int = Field(default=9090, ge=0, le=65535, description="/metrics and /healthz; 0 chooses a free port.")
