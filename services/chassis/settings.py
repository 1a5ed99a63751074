"""What every process reads from its environment; a service's own `settings.py` extends it."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Settings shared by all services; the name of a variable is the field's in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    mongodb_uri: str = Field(
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0", description="MongoDB, always a replica set."
    )
    nats_url: str = Field(default="nats://127.0.0.1:4222", description="NATS server with JetStream.")
    shutdown_notice: float = Field(
        default=0.0, ge=0, description="Seconds of NOT_SERVING before calls are refused; behind a probe: its period."
    )
    shutdown_grace: float = Field(default=20.0, ge=0, description="Seconds calls may take to end after SIGTERM.")


class RpcSettings(ProcessSettings):
    """Settings of a process that serves gRPC."""

    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="0 chooses a free port.")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9090, ge=0, le=65535, description="/metrics and /healthz; 0 chooses a free port.")
