"""The signing secrets of webhooks: made here, shown once, and encrypted at rest like those of platforms."""

import base64
import os
from dataclasses import replace
from datetime import UTC, datetime

from services.delivery.platforms.secrets import Owner, Sealed, Vault
from services.delivery.webhooks.webhook import OVERLAP, Webhook

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""
PREFIX = "whsec_"


class WebhookSecrets:
    """Makes, encrypts and decrypts secrets."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def new(self, tenant: str, webhook_id: str) -> tuple[str, Sealed]:
        """A new secret, as the receiver gets it and as it is stored."""
        secret = PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()
        return secret, self._vault.seal(secret, _owner(tenant, webhook_id))

    def of(self, webhook: Webhook) -> list[str]:
        """The secrets that requests are signed with: the current one, and for a time the previous one.

        Raises:
            Unsealable: a secret cannot be decrypted.
        """
        sealed = [webhook.secret]
        if webhook.previous_secret is not None and _is_recent(webhook.rotated_at):
            sealed.append(webhook.previous_secret)
        return [self._vault.open(one, _owner(webhook.tenant, webhook.id)) for one in sealed]

    def rewrapped(self, webhook: Webhook) -> Webhook:
        """The webhook with its secrets under the current master key.

        Raises:
            Unsealable: a secret cannot be decrypted.
        """
        owner, previous = _owner(webhook.tenant, webhook.id), webhook.previous_secret
        return replace(
            webhook,
            secret=self._vault.rewrapped(webhook.secret, owner),
            previous_secret=None if previous is None else self._vault.rewrapped(previous, owner),
        )


def _owner(tenant: str, webhook_id: str) -> Owner:
    return Owner(tenant, webhook_id, "webhook secret")


def _is_recent(rotated_at: datetime | None) -> bool:
    return rotated_at is not None and datetime.now(UTC) - rotated_at < OVERLAP
