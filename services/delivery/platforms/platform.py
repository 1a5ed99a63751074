"""A platform: a destination that a tenant has registered. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.delivery.platforms.secrets import Sealed


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform as stored."""

    id: str
    tenant: str
    name: str
    type: str
    config: Mapping[str, Any]
    """Without secrets."""
    secrets: Mapping[str, Sealed]
    """By field of the config."""
    is_active: bool
    created_at: datetime
    updated_at: datetime
    pins: Mapping[str, str] = field(default_factory=dict)
    """Facts about the server that must not change, such as its host key."""
    fingerprint: str = ""
    """Of the request that has registered it (`fingerprint.py`); empty for platforms of older versions."""
    version: int = 1
    """Counts changes, so that concurrent changes do not overwrite each other."""
