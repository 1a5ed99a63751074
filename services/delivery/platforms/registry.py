"""Registers, changes and removes platforms: validates requests and encrypts secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from services.chassis.display_names import checked_name
from services.chassis.faults import BadRequest, Outdated, Violation, check_unchanged
from services.chassis.rpc.requests import chosen_id
from services.chassis.timestamps import now_in_milliseconds
from services.delivery.destinations.contract import Destination
from services.delivery.destinations.threads import in_key_thread
from services.delivery.errors import IdReused, PlatformNotFound, TooManyPlatforms, WrongState
from services.delivery.platforms.config import MASK, merged, moved, parse_object, prepared, require_secrets, split
from services.delivery.platforms.fingerprint import fingerprint, fits
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Sealed, Vault
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import TargetResolver, UnusablePlatform
from services.limits import Limits

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
    ) -> tuple[Platform, bool]:
        """Register a platform; returns whether an earlier call with the same id has done it.

        Raises:
            BadRequest: names the invalid fields.
            IdReused: another platform has this id.
            TooManyPlatforms: the tenant has reached the limit.
        """
        chosen, named, config = chosen_id(platform_id, "platform_id"), checked_name(name), parse_object(config_json)
        known = await self._store.get(tenant, chosen)
        if known is None:
            await self._check_limit(tenant)
            plain, sealed = await self._sealed(tenant, chosen, kind, config)
            now, mark = (
                now_in_milliseconds(),
                await in_key_thread(partial(fingerprint, kind, named, config, is_active=is_active)),
            )
            new = Platform(chosen, tenant, named, kind, plain, sealed, is_active, now, now, fingerprint=mark)
            kept = await self._store.add(new)
            if kept.fingerprint == mark:
                return kept, False
            known = kept
        if known.tenant != tenant or not await _has_fingerprint(known, kind, named, config, is_active=is_active):
            raise IdReused("platform")
        return known, True

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

    async def update(self, tenant: str, platform_id: str, change: Change, expected: datetime | None = None) -> Platform:
        """Change a platform.

        Args:
            expected: when it has to have been changed last.

        Raises:
            BadRequest, PlatformNotFound: as above.
            Outdated: it was changed at another time than expected.
            WrongState: other requests changed it at the same time, `TRIES` times in a row.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, platform_id)
            check_unchanged(old.updated_at, expected)
            kept = await self._store.change(old, await self._changed(old, change))
            if kept is not None:
                return kept
        raise WrongState("platform_changing", "Other requests are changing the platform; try again.")

    async def delete(self, tenant: str, platform_id: str, expected: datetime | None = None) -> None:
        """Delete a platform.

        Args:
            expected: when it has to have been changed last.

        Raises:
            PlatformNotFound: the tenant has no platform with this id.
            Outdated: it was changed at another time than expected.
        """
        if not await self._store.delete(tenant, platform_id, expected):
            check_unchanged((await self.get(tenant, platform_id)).updated_at, expected)
            raise Outdated

    async def _changed(self, old: Platform, change: Change) -> Platform:
        new = replace(old, updated_at=now_in_milliseconds())
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


async def _has_fingerprint(
    platform: Platform, kind: str, name: str, config: Mapping[str, Any], *, is_active: bool
) -> bool:
    """Whether this request has registered the platform."""
    if not platform.fingerprint:
        return (platform.type, platform.name) == (kind, name)
    return await in_key_thread(partial(fits, platform.fingerprint, kind, name, config, is_active=is_active))
