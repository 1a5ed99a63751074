"""Re-encrypts the keys of all secrets with the current master key: `python -m services.delivery.rotate`."""

import asyncio
import sys
from dataclasses import replace

from pydantic import ValidationError

from services.chassis import mongo
from services.chassis.faults import Unavailable
from services.delivery.deliveries.attempt_state import rotate_notes
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.secrets import Owner, Unsealable, Vault, vault_of
from services.delivery.platforms.store import PlatformStore
from services.delivery.settings import VaultSettings

BATCH = 100


async def rotate_secrets(store: PlatformStore, vault: Vault) -> tuple[int, list[str]]:
    """Re-encrypt the keys of all platform secrets that use an older master key.

    Returns:
        How many platforms were changed, and the ids of those with a secret that cannot be decrypted.
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
            # A platform that was changed meanwhile is found again in the next round.
            changed += await store.change(platform, replace(platform, secrets=sealed)) is not None


async def _run(settings: VaultSettings) -> int:
    client = mongo.connect(settings.mongodb_uri, app="rotate", selection_ms=5_000)
    try:
        vault = vault_of(settings.master_keys.get_secret_value())
        changed, lost = await rotate_secrets(PlatformStore(client["delivery"]), vault)
        notes = await rotate_notes(DeliveryStore(client["delivery"]), vault)
    except Unavailable as exc:
        say(exc.message)
        return 1
    finally:
        client.close()
    say(f"{changed} platforms and {notes} notes of deliveries now use master key {vault.current}.")
    if lost:
        say(f"The keys in MASTER_KEYS cannot decrypt secrets of {', '.join(lost)}. Add their key, or set them again.")
    return 1 if lost else 0


def say(text: str) -> None:
    """Print without buffering."""
    print(text, flush=True)  # noqa: T201  this is a command


def main() -> int:
    """0: all are rotated; 1: some cannot be decrypted, or the database is unavailable; 2: a setting is invalid."""
    try:
        settings = VaultSettings()
    except ValidationError as exc:
        for problem in exc.errors(include_input=False):
            say(f"setting {'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}")
        return 2
    return asyncio.run(_run(settings))


if __name__ == "__main__":
    sys.exit(main())
