"""Re-encrypts the keys of all secrets with the current master key: `python -m services.delivery.rotate`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from services.chassis import mongo
from services.chassis.faults import Unavailable, plain_message
from services.delivery.deliveries.attempt_state import rotate_notes
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Owner, Unsealable, Vault, vault_of
from services.delivery.platforms.store import PlatformStore
from services.delivery.settings import VaultSettings
from services.delivery.webhooks.secrets import WebhookSecrets
from services.delivery.webhooks.store import WebhookStore
from services.delivery.webhooks.webhook import Webhook

BATCH = 100


SealedT = TypeVar("SealedT", Platform, Webhook)
"""What has secrets."""


async def rotate_secrets(store: PlatformStore, vault: Vault) -> tuple[int, list[str]]:
    """Re-encrypt the keys of all platform secrets that use an older master key.

    Returns:
        How many platforms were changed, and the ids of those with a secret that cannot be decrypted.
    """

    def rewrapped(platform: Platform) -> Platform:
        sealed = {
            name: vault.rewrapped(one, Owner(platform.tenant, platform.id, name))
            for name, one in platform.secrets.items()
        }
        return replace(platform, secrets=sealed)

    return await _rotate(partial(store.sealed_with_another, vault.current), rewrapped, store.change)


async def rotate_webhooks(store: WebhookStore, vault: Vault) -> tuple[int, list[str]]:
    """The same for the secrets of webhooks."""
    find = partial(store.sealed_with_another, vault.current)
    return await _rotate(find, WebhookSecrets(vault).rewrapped, store.change)


async def _rotate(
    find: Callable[[int], Awaitable[list[SealedT]]],
    rewrapped: Callable[[SealedT], SealedT],
    change: Callable[[SealedT, SealedT], Awaitable[SealedT | None]],
) -> tuple[int, list[str]]:
    changed, lost = 0, set[str]()
    while True:
        found = await find(BATCH + len(lost))
        left = [one for one in found if one.id not in lost]
        if not left:
            return changed, sorted(lost)
        for one in left:
            try:
                after = rewrapped(one)
            except Unsealable:
                lost.add(one.id)
                continue
            # What was changed meanwhile is found again in the next round.
            changed += await change(one, after) is not None


async def _run(settings: VaultSettings) -> int:
    client = mongo.connect(settings.mongodb_uri, app="rotate", selection_ms=5_000)
    try:
        vault = vault_of(settings.master_keys.get_secret_value())
        changed, lost = await rotate_secrets(PlatformStore(client["delivery"]), vault)
        webhooks, lost_webhooks = await rotate_webhooks(WebhookStore(client["delivery"]), vault)
        notes = await rotate_notes(DeliveryStore(client["delivery"]), vault)
    except Unavailable as exc:
        say(exc.message)
        return 1
    finally:
        client.close()
    lost += lost_webhooks
    say(f"{changed} platforms, {webhooks} webhooks and {notes} notes of deliveries now use key {vault.current}.")
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
            name = "_".join(str(part) for part in problem["loc"]).upper()
            say(f"setting {name}: {plain_message(problem['type'], problem['msg'])}")
        return 2
    return asyncio.run(_run(settings))


if __name__ == "__main__":
    sys.exit(main())
