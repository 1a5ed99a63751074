"""The settings of the loader, read from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LoaderSettings(BaseSettings):
    """Settings of the loader."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    mongodb_uri: str | None = Field(default=None, description="MongoDB of the catalogues.")
