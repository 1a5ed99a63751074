"""Registers, changes and removes platforms: validates requests and encrypts secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from services.chassis.faults import BadRequest, Violation
from services.chassis.rpc.requests import chosen_id
from services.delivery.destinations.contract import Destination
from services.delivery.destinations.threads import in_key_thread
from services.delivery.errors import IdReused, PlatformNotFound, TooManyPlatforms, WrongState
from services.delivery.platforms.config import MASK, merged, moved, parse_object, prepared, require_secrets, split
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Sealed, Vault
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import TargetResolver, UnusablePlatform
from services.limits import Limits

MAX_NAME = 200
TRIES = 5
PINNING = "host_key"
"""A request that sets this config field to null also removes a host key that was pinned at the first connection."""


@dataclass(frozen=True, slots=True)
class Change:
    """The changes to a platform; None leaves a field as it is."""

    name: str | None = None
    config_json: str | None = None
    is_active: bool | None = None


class PlatformRegistry:
    """The platforms of all tenants."""

    def __init__(
        self,
        destinations: Mapping[str, Destination],
        store: PlatformStore,
        targets: TargetResolver,
        vault: Vault,
        limits: Limits,
    ) -> None:
        self._destinations = destinations
        self._store = store
        self._targets = targets
        self._vault = vault
        self._limits = limits

    async def create(
        self, tenant: str, name: str, kind: str, config_json: str, *, is_active: bool, platform_id: str
    ) -> Platform:
        """Register a platform; a repeated call with the same id returns the first one.

        Raises:
            BadRequest: names the invalid fields.
            IdReused: another platform has this id.
            TooManyPlatforms: the tenant has reached the limit.
        """
        chosen, named = chosen_id(platform_id, "platform_id"), checked_name(name)
        if await self._store.get(tenant, chosen) is None:
            await self._check_limit(tenant)
        plain, sealed = await self._sealed(tenant, chosen, kind, parse_object(config_json))
        now = _now()
        platform = Platform(chosen, tenant, named, kind, plain, sealed, is_active, now, now)
        kept = await self._store.add(platform)
        if (kept.tenant, kept.type, kept.name) != (tenant, kind, platform.name):
            raise IdReused
        return kept

    async def _check_limit(self, tenant: str) -> None:
        limit = self._limits.of(tenant).max_platforms
        if await self._store.count(tenant, limit) >= limit:
            raise TooManyPlatforms(limit)

    async def get(self, tenant: str, platform_id: str) -> Platform:
        """One platform.

        Raises:
            PlatformNotFound: the tenant has no platform with this id.
        """
        found = await self._store.get(tenant, platform_id)
        if found is None:
            raise PlatformNotFound(platform_id)
        return found

    async def update(self, tenant: str, platform_id: str, change: Change) -> Platform:
        """Change a platform.

        Raises:
            BadRequest, PlatformNotFound: as above.
            WrongState: other requests changed it at the same time, `TRIES` times in a row.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, platform_id)
            kept = await self._store.change(old, await self._changed(old, change))
            if kept is not None:
                return kept
        raise WrongState("platform_changing", "Other requests are changing the platform; try again.")

    async def delete(self, tenant: str, platform_id: str) -> None:
        """Delete a platform.

        Raises:
            PlatformNotFound: the tenant has no platform with this id.
        """
        if not await self._store.delete(tenant, platform_id):
            raise PlatformNotFound(platform_id)

    async def _changed(self, old: Platform, change: Change) -> Platform:
        new = replace(old, updated_at=_now())
        if change.name is not None:
            new = replace(new, name=checked_name(change.name))
        if change.is_active is not None:
            new = replace(new, is_active=change.is_active)
        if change.config_json is None:
            return new
        wanted = parse_object(change.config_json)
        try:
            secrets = self._targets.secrets(old)
        except UnusablePlatform:  # the secrets are lost; the caller must send them again
            secrets = {}
        values = merged(old.config, secrets, wanted)
        plain, sealed = await self._sealed(old.tenant, old.id, old.type, values)
        changed = moved(self._destinations[old.type].Config, old.config, plain)
        if old.pins and PINNING in wanted and wanted[PINNING] is None:
            changed.add(PINNING)
        require_secrets(changed, {name for name in secrets if name in sealed and wanted.get(name, MASK) == MASK})
        return replace(new, config=plain, secrets=sealed, pins={} if changed else old.pins)

    async def _sealed(
        self, tenant: str, platform_id: str, kind: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Sealed]]:
        destination = self._destinations.get(kind)
        if destination is None:
            known = ", ".join(sorted(self._destinations))
            raise BadRequest([Violation("platform_type", f"must be one of {known}")])
        plain, secrets = split(await in_key_thread(partial(prepared, destination.Config, values)))
        sealed = {name: self._vault.seal(text, Owner(tenant, platform_id, name)) for name, text in secrets.items()}
        return plain, sealed


def checked_name(name: str) -> str:
    """The name without surrounding whitespace.

    Raises:
        BadRequest: it is empty, too long, or has control characters.
    """
    stripped = name.strip()
    if not stripped or len(stripped) > MAX_NAME or not stripped.isprintable():
        raise BadRequest([Violation("name", f"must be 1 to {MAX_NAME} printable characters")])
    return stripped


def _now() -> datetime:
    """Now, in milliseconds as MongoDB stores it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
