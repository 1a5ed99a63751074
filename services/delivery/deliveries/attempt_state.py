"""Notes that a destination keeps from attempt to attempt of one delivery, encrypted like secrets."""

import json
from base64 import b64decode, b64encode
from contextlib import suppress

from services.chassis.leasing.leases import LeaseLost
from services.delivery.deliveries.delivery import Delivery
from services.delivery.deliveries.store import DeliveryStore, Lease
from services.delivery.destinations.contract import MemoryNotes
from services.delivery.platforms.secrets import Owner, Sealed, Unsealable, Vault


class DeliveryNotes(MemoryNotes):
    """The notes of one delivery; a note that can no longer be decrypted is ignored."""

    def __init__(self, lease: Lease, store: DeliveryStore, vault: Vault) -> None:
        known: dict[str, str] = {}
        for name, text in lease.delivery.notes.items():
            with suppress(Unsealable):
                known[name] = vault.open(unpacked(text), note_owner(lease.delivery, name))
        super().__init__(known)
        self._lease = lease
        self._store = store
        self._vault = vault

    async def keep(self, name: str, value: str | None) -> None:
        """Store the value; None removes it.

        Raises:
            LeaseLost: another process has claimed the delivery.
        """
        owner = note_owner(self._lease.delivery, name)
        kept = None if value is None else packed(self._vault.seal(value, owner))
        if not await self._store.keep_note(self._lease, name, kept):
            raise LeaseLost
        await super().keep(name, value)


def note_owner(delivery: Delivery, name: str) -> Owner:
    """The owner that a delivery's note is encrypted for."""
    return Owner(delivery.tenant, delivery.id, f"notes.{name}")


async def rotate_notes(store: DeliveryStore, vault: Vault) -> int:
    """Re-encrypt the keys of all notes with the current master key; returns how many were changed."""
    changed = 0
    for delivery in await store.noted():
        for name, text in delivery.notes.items():
            note = unpacked(text)
            if note.version == vault.current:
                continue
            with suppress(Unsealable):
                rewrapped = packed(vault.rewrapped(note, note_owner(delivery, name)))
                changed += await store.replace_note(delivery.id, name, text, rewrapped)
    return changed


def packed(sealed: Sealed) -> str:
    """An encrypted note as text."""
    parts = [sealed.version, b64encode(sealed.key).decode(), b64encode(sealed.text).decode()]
    return json.dumps(parts)


def unpacked(text: str) -> Sealed:
    """The encrypted note in a text."""
    version, key, secret = json.loads(text)
    return Sealed(version, b64decode(key), b64decode(secret))
