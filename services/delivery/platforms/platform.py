"""What a platform is: a place that a tenant's files are uploaded to, its secrets kept apart. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.delivery.platforms.secrets import Sealed


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform as it is stored."""

    id: str
    tenant: str
    name: str
    type: str
    config: Mapping[str, Any]
    """Without secrets."""
    secrets: Mapping[str, Sealed]
    """By the config's field."""
    is_active: bool
    created_at: datetime
    updated_at: datetime
    pins: Mapping[str, str] = field(default_factory=dict)
    """What was learned of the peer and must not change, such as its host key."""
    version: int = 1
    """Counts changes, so that two at once cannot overwrite each other."""
