"""The settings of the local stack, read from the environment."""

import sys
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.chassis.faults import plain_message


class LocalSettings(BaseSettings):
    """Settings of `deploy.local`; each field is the environment variable with its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    local_dir: Path = Field(default=Path(".local"), description="Data, logs and keys of the local stack.")
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="Port on 127.0.0.1; 0 chooses a free one.")
    mongodb_uri: str | None = Field(
        default=None, description="A running replica set to use instead of starting mongod."
    )
    nats_url: str | None = Field(
        default=None, description="A running NATS server with JetStream to use instead of starting one."
    )

    @classmethod
    def read(cls) -> "LocalSettings":
        """Read the settings; an invalid one ends the program with exit code 2 and names the variable."""
        try:
            return cls()
        except ValidationError as exc:
            for problem in exc.errors():
                name, message = (
                    "_".join(map(str, problem["loc"])).upper(),
                    plain_message(problem["type"], problem["msg"]),
                )
                print(f"setting {name}: {message}", file=sys.stderr)
            sys.exit(2)

    @field_validator("local_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()
