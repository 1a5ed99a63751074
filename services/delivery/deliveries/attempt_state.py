"""What destinations remember: notes of a delivery, sealed like secrets, and pins of a platform, which are open."""

import json
from base64 import b64decode, b64encode
from contextlib import suppress

from services.delivery.deliveries.attempt import LeaseLost
from services.delivery.deliveries.delivery import Delivery
from services.delivery.deliveries.store import DeliveryStore, Lease
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Sealed, Unsealable, Vault
from services.delivery.platforms.store import PlatformStore


class DeliveryNotes:
    """Notes of one delivery; a note that cannot be opened any more counts as forgotten."""

    def __init__(self, lease: Lease, store: DeliveryStore, vault: Vault) -> None:
        self._lease = lease
        self._store = store
        self._vault = vault
        self._known: dict[str, str] = {}
        for name, text in lease.delivery.notes.items():
            with suppress(Unsealable):
                self._known[name] = vault.open(unpacked(text), note_owner(lease.delivery, name))

    def get(self, name: str) -> str | None:
        """What was kept."""
        return self._known.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        """Keep it, or forget it."""
        owner = note_owner(self._lease.delivery, name)
        kept = None if value is None else packed(self._vault.seal(value, owner))
        if not await self._store.keep_note(self._lease, name, kept):
            raise LeaseLost
        if value is None:
            self._known.pop(name, None)
        else:
            self._known[name] = value


class PlatformPins:
    """Pins of one platform; a value is replaced only by somebody who knew it."""

    def __init__(self, platform: Platform, store: PlatformStore) -> None:
        self._platform_id = platform.id
        self._store = store
        self._known = dict(platform.pins)

    def get(self, name: str) -> str | None:
        """What was kept."""
        return self._known.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        """Keep it, unless somebody else kept another value meanwhile; only a change of the platform forgets one."""
        if value is not None:
            self._known[name] = await self._store.pin(self._platform_id, name, value, known=self.get(name))


def note_owner(delivery: Delivery, name: str) -> Owner:
    """Whom a delivery's note is sealed for."""
    return Owner(delivery.tenant, delivery.id, f"notes.{name}")


def packed(sealed: Sealed) -> str:
    """A sealed note as one text."""
    parts = [sealed.version, b64encode(sealed.key).decode(), b64encode(sealed.text).decode()]
    return json.dumps(parts)


def unpacked(text: str) -> Sealed:
    """The sealed note in a text."""
    version, key, secret = json.loads(text)
    return Sealed(version, b64decode(key), b64decode(secret))
