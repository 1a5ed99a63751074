"""What the scheduler reads from its environment."""

from pydantic import Field

from services.chassis.settings import RpcSettings


class SchedulerSettings(RpcSettings):
    """Settings of the scheduler; times in seconds unless the name says otherwise."""

    exporter_address: str = Field(
        default="127.0.0.1:50051", description="host:port, or dns:///headless-service:port for all replicas."
    )
    delivery_address: str = Field(default="127.0.0.1:50052", description="The same of the delivery service.")
    rpc_deadline: float = Field(default=25.0, gt=0, description="Seconds a service behind has to answer.")
    tick_seconds: float = Field(default=0.5, gt=0, description="Between two looks for schedules that are due.")
    tick_batch: int = Field(default=500, ge=1, le=10_000, description="Schedules and runs a look takes, at most.")
    at_once: int = Field(default=16, ge=1, le=256, description="Of these runs, worked on at the same time.")
    grace_seconds: float = Field(default=3_600.0, gt=0, description="Up to this late, a run is late and not missed.")
    retry_seconds: float = Field(
        default=10.0, gt=0, description="Until a run is looked at again that could not be submitted, or has to wait."
    )
    follow_seconds: float = Field(default=60.0, gt=0, description="Between two questions for a run's outcome.")
    history_days: float = Field(default=90.0, gt=0, description="How long an ended run is remembered.")
    max_schedules: int = Field(default=10_000, ge=1, description="Schedules a tenant may have.")
