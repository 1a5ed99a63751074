"""What destinations remember: notes of a delivery, sealed like secrets, and pins of a platform, which are open."""

import json
from base64 import b64decode, b64encode

from services.delivery.deliver import LeaseLost
from services.delivery.delivery_store import DeliveryStore, Lease
from services.delivery.platform_store import PlatformStore
from services.delivery.platforms import Platform
from services.delivery.secrets import Owner, Sealed, Unsealable, Vault


class DeliveryNotes:
    """Notes of one delivery; a note that cannot be opened any more counts as forgotten."""

    def __init__(self, lease: Lease, store: DeliveryStore, vault: Vault) -> None:
        self._lease = lease
        self._store = store
        self._vault = vault
        self._owner = Owner(lease.delivery.tenant, lease.delivery.id, "notes")
        self._known: dict[str, str] = {}
        for name, text in lease.delivery.notes.items():
            try:
                self._known[name] = vault.open(_unpacked(text), self._owner)
            except Unsealable:
                continue

    def get(self, name: str) -> str | None:
        """What was kept."""
        return self._known.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        """Keep it, or forget it."""
        packed = None if value is None else _packed(self._vault.seal(value, self._owner))
        if not await self._store.keep_note(self._lease, name, packed):
            raise LeaseLost
        if value is None:
            self._known.pop(name, None)
        else:
            self._known[name] = value


class PlatformPins:
    """Pins of one platform; the first value counts."""

    def __init__(self, platform: Platform, store: PlatformStore) -> None:
        self._platform_id = platform.id
        self._store = store
        self._known = dict(platform.pins)

    def get(self, name: str) -> str | None:
        """What was kept."""
        return self._known.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        """Keep it, unless there is a value already; a pin is forgotten only by changing the platform."""
        if value is not None:
            self._known[name] = await self._store.pin(self._platform_id, name, value)


def _packed(sealed: Sealed) -> str:
    parts = [sealed.version, b64encode(sealed.key).decode(), b64encode(sealed.text).decode()]
    return json.dumps(parts)


def _unpacked(text: str) -> Sealed:
    version, key, secret = json.loads(text)
    return Sealed(version, b64decode(key), b64decode(secret))
