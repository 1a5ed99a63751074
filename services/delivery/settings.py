"""What the delivery service reads from its environment."""

from pydantic import Field, SecretStr, field_validator

from services.chassis.settings import RpcSettings
from services.delivery.destinations.egress import parse_networks
from services.delivery.platforms.secrets import parse_master_keys


class VaultSettings(RpcSettings):
    """What every command that opens secrets needs."""

    master_keys: SecretStr = Field(
        description="Keys that wrap the platforms' secrets, `version:base64 of 32 bytes`, the current one first, "
        "older ones after it with commas between."
    )

    @field_validator("master_keys")
    @classmethod
    def _keys(cls, text: SecretStr) -> SecretStr:
        parse_master_keys(text.get_secret_value())
        return text


class DeliverySettings(VaultSettings):
    """Settings of the delivery service; times in seconds unless the name says otherwise."""

    exporter_address: str = Field(
        default="127.0.0.1:50051", description="host:port, or dns:///headless-service:port for all replicas."
    )
    artifacts_url: str = Field(
        default="file:///var/lib/catalog-exports/artifacts",
        description="Where the exporter keeps finished files: file:///folder or s3://bucket/prefix.",
    )
    egress_allow: str = Field(
        default="",
        description="Networks deliveries may reach beyond the public internet: `10.1.0.0/16, 192.168.7.4`.",
    )
    rpc_deadline: float = Field(default=25.0, gt=0, description="Seconds the exporter has to answer.")
    delivery_slots: int = Field(default=8, ge=0, le=256, description="Deliveries at once; 0: this process makes none.")
    platform_slots: int = Field(default=2, ge=1, le=64, description="Of these, to one platform.")
    lease_seconds: float = Field(default=30.0, gt=0, description="A delivery that is silent this long is taken over.")
    max_attempts: int = Field(default=12, ge=1, le=100, description="Attempts at a delivery before it fails.")
    retry_seconds: float = Field(default=5.0, gt=0, description="First delay after a transient fault; doubles.")
    retry_longest: float = Field(default=3_600.0, gt=0, description="Longest delay between two attempts.")
    reconcile_seconds: float = Field(default=60.0, gt=0, description="Between two questions for completions missed.")
    lookback_seconds: float = Field(
        default=300.0, gt=0, description="How far before the last completion seen these questions reach back."
    )
    history_days: float = Field(default=90.0, gt=0, description="How long an ended delivery is remembered.")

    @field_validator("egress_allow")
    @classmethod
    def _networks(cls, text: str) -> str:
        parse_networks(text)
        return text
