"""From a stored platform to an open way to it: its type, its config with the secrets opened, the egress rules."""

from collections.abc import Mapping

from services.chassis.faults import BadRequest
from services.delivery.deliveries.attempt import Place
from services.delivery.destinations.contract import Destination, Notes
from services.delivery.destinations.egress import Egress
from services.delivery.platforms.config import checked
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Unsealable, Vault


class Unplaceable(Exception):
    """A platform that cannot be used as it is stored."""

    transient = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Places:
    """Makes `Place`s."""

    def __init__(self, destinations: Mapping[str, Destination], vault: Vault, egress: Egress) -> None:
        self._destinations = destinations
        self._vault = vault
        self._egress = egress

    def secrets(self, platform: Platform) -> dict[str, str]:
        """The platform's secrets by field.

        Raises:
            Unplaceable: one cannot be opened.
        """
        try:
            return {
                name: self._vault.open(sealed, Owner(platform.tenant, platform.id, name))
                for name, sealed in platform.secrets.items()
            }
        except Unsealable as exc:
            raise Unplaceable("secret_unreadable", f"A secret of the platform cannot be opened: {exc}") from exc

    def of(self, platform: Platform, pins: Notes) -> Place:
        """The way to a platform.

        Raises:
            Unplaceable: its type is unknown here, a secret cannot be opened, or its config is no longer valid.
        """
        destination = self._destinations.get(platform.type)
        if destination is None:
            raise Unplaceable("unknown_type", f"This service knows no platforms of type {platform.type!r}.")
        try:
            config = checked(destination.Config, {**platform.config, **self.secrets(platform)})
        except BadRequest as exc:
            raise Unplaceable("invalid_config", exc.message) from exc
        return Place(destination, config, self._egress, pins)
