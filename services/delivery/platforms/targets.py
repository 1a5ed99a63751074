"""From a stored platform to what is needed to connect to it: destination, config with secrets, egress rules, pins."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.chassis.faults import AttemptError, BadRequest
from services.delivery.destinations.contract import Destination, DestinationConfig, MemoryNotes, Notes
from services.delivery.destinations.egress import Egress
from services.delivery.platforms.config import checked
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Unsealable, Vault
from services.delivery.platforms.store import PlatformStore


class UnusablePlatform(AttemptError):
    """A platform that cannot be used as it is stored."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, transient=False)


@dataclass(frozen=True, slots=True)
class Target:
    """A platform, ready to connect to.

    Args:
        version: of the platform; another one may have another address or other secrets.
    """

    platform_id: str
    version: int
    destination: Destination
    config: DestinationConfig
    egress: Egress
    pins: Notes


class TargetResolver:
    """Resolves platforms to targets."""

    def __init__(
        self, destinations: Mapping[str, Destination], store: PlatformStore, vault: Vault, egress: Egress
    ) -> None:
        self._destinations = destinations
        self._store = store
        self._vault = vault
        self._egress = egress

    def secrets(self, platform: Platform) -> dict[str, str]:
        """The platform's secrets by field.

        Raises:
            UnusablePlatform: a secret cannot be decrypted.
        """
        try:
            return {
                name: self._vault.open(sealed, Owner(platform.tenant, platform.id, name))
                for name, sealed in platform.secrets.items()
            }
        except Unsealable as exc:
            raise UnusablePlatform("secret_unreadable", f"A secret of the platform cannot be decrypted: {exc}") from exc

    def resolve(self, platform: Platform) -> Target:
        """The platform's target.

        Raises:
            UnusablePlatform: its type is unknown, a secret cannot be decrypted, or its config is no longer valid.
        """
        destination = self._destinations.get(platform.type)
        if destination is None:
            raise UnusablePlatform("unknown_type", f"This service does not support the type {platform.type!r}.")
        try:
            config = checked(destination.Config, {**platform.config, **self.secrets(platform)})
        except BadRequest as exc:
            raise UnusablePlatform("invalid_config", exc.message) from exc
        pins = _PlatformPins(platform, self._store)
        return Target(platform.id, platform.version, destination, config, self._egress, pins)


class _PlatformPins(MemoryNotes):
    """What a platform remembers of its peer, such as a host key; only a change of the platform removes a value."""

    def __init__(self, platform: Platform, store: PlatformStore) -> None:
        super().__init__(platform.pins)
        self._platform_id = platform.id
        self._store = store

    async def keep(self, name: str, value: str | None) -> None:
        """Store the value, unless another one was stored since the platform was read; None changes nothing."""
        if value is not None:
            await super().keep(name, await self._store.pin(self._platform_id, name, value, known=self.get(name)))
