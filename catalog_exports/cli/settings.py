"""What the command line reads from its environment."""

import os
from dataclasses import dataclass

URL, KEY = "CATALOG_EXPORTS_URL", "CATALOG_EXPORTS_KEY"


@dataclass(frozen=True)
class Settings:
    """URL of the gateway and API key; empty: as they were given to `login`."""

    url: str = ""
    key: str = ""

    @staticmethod
    def read() -> "Settings":
        """From the environment."""
        return Settings(os.environ.get(URL, "").strip(), os.environ.get(KEY, "").strip())
