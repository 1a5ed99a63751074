"""Environment variables of the delivery service."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from services.chassis.networks import Networks
from services.chassis.settings import RpcSettings
from services.delivery.platforms.secrets import parse_master_keys
from services.limits import LimitSettings


class VaultSettings(RpcSettings):
    """Settings that every command that decrypts secrets needs."""

    master_keys: SecretStr = Field(
        description="Keys that encrypt the platforms' secrets, as `version:base64 of 32 bytes`, separated by commas, "
        "the current one first."
    )

    @field_validator("master_keys")
    @classmethod
    def _keys(cls, text: SecretStr) -> SecretStr:
        parse_master_keys(text.get_secret_value())
        return text


class DeliverySettings(LimitSettings, VaultSettings):
    """Settings of the delivery service. Times are in seconds unless the name says otherwise."""

    renamed: ClassVar[Mapping[str, str]] = {
        "LEASE_SECONDS": "DELIVERY_LEASE_SECONDS",
        "MAX_ATTEMPTS": "DELIVERY_MAX_ATTEMPTS",
        "RETRY_SECONDS": "DELIVERY_RETRY_SECONDS",
        "HISTORY_DAYS": "DELIVERY_HISTORY_DAYS",
    }

    exporter_address: str = Field(
        default="127.0.0.1:50051", description="Exporter: host:port, or dns:///headless-service:port for all replicas."
    )
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where the exporter keeps finished files: file:///folder or s3://bucket/prefix.",
    )
    egress_allow: Networks = Field(
        default="",
        description="Networks that deliveries may reach besides the public internet: `10.1.0.0/16, 192.168.7.4`.",
    )
    rpc_deadline: float = Field(default=25.0, gt=0, description="Timeout of calls to the exporter, in seconds.")
    delivery_slots: int = Field(
        default=8,
        ge=0,
        le=256,
        description="Concurrent deliveries, and one more of a tenant that has none running here; 0: none.",
    )
    platform_slots: int = Field(default=2, ge=1, le=64, description="Concurrent deliveries to one platform.")
    delivery_lease_seconds: float = Field(
        default=30.0, gt=0, description="Time without a heartbeat after which a delivery is taken over."
    )
    delivery_max_attempts: int = Field(default=12, ge=1, le=100, description="Attempts before a delivery fails.")
    delivery_retry_seconds: float = Field(
        default=5.0, gt=0, description="First delay after a transient fault; doubles."
    )
    max_retry_seconds: float = Field(default=3_600.0, gt=0, description="Longest delay between attempts.")
    reconcile_seconds: float = Field(default=60.0, gt=0, description="Interval between checks for missed completions.")
    lookback_seconds: float = Field(
        default=300.0, gt=0, description="How far these checks look back from the last completion seen."
    )
    delivery_history_days: float = Field(default=90.0, gt=0, description="How long finished deliveries are kept.")
    event_days: float = Field(
        default=30.0, gt=0, description="How long events, and the messages about them to webhooks, are kept."
    )
