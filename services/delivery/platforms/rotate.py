"""The command that puts all secrets under the current master key: `python -m services.delivery.platforms.rotate`."""

import asyncio
import sys
from contextlib import suppress
from dataclasses import replace

from pydantic import ValidationError

from services.chassis import mongo
from services.chassis.faults import Unavailable
from services.delivery.deliveries.attempt_state import note_owner, packed, unpacked
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.secrets import Owner, Unsealable, Vault, vault_of
from services.delivery.platforms.store import PlatformStore
from services.delivery.settings import VaultSettings

BATCH = 100


async def rotate(store: PlatformStore, vault: Vault) -> tuple[int, list[str]]:
    """Re-wrap every secret of platforms that is under an older key.

    Returns:
        How many platforms were changed, and the ids of those that hold a secret that cannot be opened.
    """
    changed, lost = 0, set[str]()
    while True:
        found = await store.sealed_with_another(vault.current, BATCH + len(lost))
        left = [platform for platform in found if platform.id not in lost]
        if not left:
            return changed, sorted(lost)
        for platform in left:
            try:
                sealed = {
                    name: vault.rewrapped(one, Owner(platform.tenant, platform.id, name))
                    for name, one in platform.secrets.items()
                }
            except Unsealable:
                lost.add(platform.id)
                continue
            # One that was changed meanwhile is found again in the next round.
            changed += await store.change(platform, replace(platform, secrets=sealed)) is not None


async def rotate_notes(store: DeliveryStore, vault: Vault) -> int:
    """Re-wrap the notes of deliveries, so that uploads under way go on; returns how many were."""
    changed = 0
    for delivery in await store.noted():
        for name, text in delivery.notes.items():
            note = unpacked(text)
            if note.version == vault.current:
                continue
            with suppress(Unsealable):  # it counts as forgotten already
                anew = packed(vault.rewrapped(note, note_owner(delivery, name)))
                changed += await store.replace_note(delivery.id, name, text, anew)
    return changed


async def _run(settings: VaultSettings) -> int:
    client = mongo.connect(settings.mongodb_uri, app="rotate", selection_ms=5_000)
    try:
        vault = vault_of(settings.master_keys.get_secret_value())
        changed, lost = await rotate(PlatformStore(client["delivery"]), vault)
        notes = await rotate_notes(DeliveryStore(client["delivery"]), vault)
    except Unavailable as exc:
        say(exc.message)
        return 1
    finally:
        client.close()
    say(f"{changed} platforms and {notes} notes of deliveries are now under master key {vault.current}.")
    if lost:
        say(f"Not to be opened with the keys in MASTER_KEYS: {', '.join(lost)}; keep their key, or set them anew.")
    return 1 if lost else 0


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201  this is a command


def main() -> int:
    """0: all are rotated; 1: some could not be opened, or there is no database; 2: a wrong setting."""
    try:
        settings = VaultSettings()
    except ValidationError as exc:
        for problem in exc.errors(include_input=False):
            say(f"setting {'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}")
        return 2
    return asyncio.run(_run(settings))


if __name__ == "__main__":
    sys.exit(main())
