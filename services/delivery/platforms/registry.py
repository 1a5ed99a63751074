"""Registers, changes and removes platforms: checks what is asked, seals secrets, keeps the rest."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.chassis.faults import BadRequest, Violation
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.deliveries.worker import GONE
from services.delivery.destinations.contract import Destination
from services.delivery.errors import IdReused, PlatformNotFound, WrongState
from services.delivery.platforms.config import checked, merged, parse_object, split
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Sealed, Vault
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import Places, Unplaceable

LONGEST_NAME = 200
TRIES = 5
PINNING = "host_key"
"""Who changes this field of a config, or says it is null, knows of another peer: what was pinned is forgotten."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to change of a platform; None: as it is."""

    name: str | None = None
    config_json: str | None = None
    is_active: bool | None = None


class Register:
    """The tenant's platforms."""

    def __init__(
        self,
        destinations: Mapping[str, Destination],
        store: PlatformStore,
        deliveries: DeliveryStore,
        places: Places,
        vault: Vault,
    ) -> None:
        self._destinations = destinations
        self._store = store
        self._deliveries = deliveries
        self._places = places
        self._vault = vault

    async def create(
        self, tenant: str, name: str, kind: str, config_json: str, *, is_active: bool, platform_id: str
    ) -> Platform:
        """Register a platform; repeating with the same id makes one.

        Raises:
            BadRequest: naming the fields that are wrong.
            IdReused: the id is another platform's.
        """
        chosen, named = _checked_id(platform_id), checked_name(name)
        plain, sealed = self._sealed(tenant, chosen, kind, parse_object(config_json))
        now = _now()
        platform = Platform(chosen, tenant, named, kind, plain, sealed, is_active, now, now)
        kept = await self._store.add(platform)
        if (kept.tenant, kept.type, kept.name) != (tenant, kind, platform.name):
            raise IdReused
        return kept

    async def get(self, tenant: str, platform_id: str) -> Platform:
        """One platform.

        Raises:
            PlatformNotFound: the tenant has none of this id.
        """
        found = await self._store.get(tenant, platform_id)
        if found is None:
            raise PlatformNotFound(platform_id)
        return found

    async def update(self, tenant: str, platform_id: str, change: Change) -> Platform:
        """Change a platform; what is not named stays.

        Raises:
            BadRequest, PlatformNotFound: as above.
            WrongState: others change it all the time.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, platform_id)
            kept = await self._store.change(old, self._changed(old, change))
            if kept is not None:
                return kept
        raise WrongState("platform_changing", "The platform is being changed by others; try again.")

    async def delete(self, tenant: str, platform_id: str) -> None:
        """Forget a platform; what waits for it fails.

        Raises:
            PlatformNotFound: the tenant has none of this id.
        """
        if not await self._store.delete(tenant, platform_id):
            raise PlatformNotFound(platform_id)
        await self._deliveries.fail_waiting(platform_id, GONE)

    def _changed(self, old: Platform, change: Change) -> Platform:
        new = replace(old, updated_at=_now())
        if change.name is not None:
            new = replace(new, name=checked_name(change.name))
        if change.is_active is not None:
            new = replace(new, is_active=change.is_active)
        if change.config_json is None:
            return new
        wanted = parse_object(change.config_json)
        try:
            secrets = self._places.secrets(old)
        except Unplaceable:  # the secrets are lost; all that are needed have to come anew
            secrets = {}
        values = merged(old.config, secrets, wanted)
        plain, sealed = self._sealed(old.tenant, old.id, old.type, values)
        known_anew = PINNING in wanted and (wanted[PINNING] is None or plain.get(PINNING) != old.config.get(PINNING))
        return replace(new, config=plain, secrets=sealed, pins={} if known_anew else old.pins)

    def _sealed(
        self, tenant: str, platform_id: str, kind: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Sealed]]:
        destination = self._destinations.get(kind)
        if destination is None:
            known = ", ".join(sorted(self._destinations))
            raise BadRequest([Violation("platform_type", f"must be one of {known}")])
        plain, secrets = split(checked(destination.Config, values))
        sealed = {name: self._vault.seal(text, Owner(tenant, platform_id, name)) for name, text in secrets.items()}
        return plain, sealed


def checked_name(name: str) -> str:
    """The name, without blanks around it.

    Raises:
        BadRequest: it is empty, too long, or has control characters.
    """
    stripped = name.strip()
    if not stripped or len(stripped) > LONGEST_NAME or not stripped.isprintable():
        raise BadRequest([Violation("name", f"must be 1 to {LONGEST_NAME} printable characters")])
    return stripped


def _checked_id(text: str) -> str:
    try:
        return str(uuid.UUID(text)) if text else str(uuid.uuid4())
    except ValueError as exc:
        raise BadRequest([Violation("platform_id", "is not a UUID")]) from exc


def _now() -> datetime:
    """Now, as exact as MongoDB keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
