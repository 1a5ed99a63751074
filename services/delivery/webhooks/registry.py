"""Creates, changes and tests webhooks."""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

from services.chassis.faults import BadRequest, Outdated, Violation, check_unchanged
from services.chassis.paging import Page, Position
from services.chassis.rpc.requests import chosen_id
from services.chassis.timestamps import now_in_milliseconds
from services.delivery.errors import IdReused, TooManyWebhooks, WebhookNotFound, WrongState
from services.delivery.webhooks.event import TEST, EventType, body
from services.delivery.webhooks.message_store import MessageStore
from services.delivery.webhooks.secrets import WebhookSecrets
from services.delivery.webhooks.sender import Sender
from services.delivery.webhooks.store import WebhookStore
from services.delivery.webhooks.webhook import Sent, Webhook
from services.limits import Limits

MAX_URL = 2_000
TRIES = 5


@dataclass(frozen=True, slots=True)
class Change:
    """What is to change of a webhook; None stays."""

    url: str | None = None
    events: Sequence[str] | None = None
    is_active: bool | None = None


class WebhookRegistry:
    """The tenants' webhooks."""

    def __init__(
        self, store: WebhookStore, messages: MessageStore, secrets: WebhookSecrets, sender: Sender, limits: Limits
    ) -> None:
        self._store = store
        self._messages = messages
        self._secrets = secrets
        self._sender = sender
        self._limits = limits

    async def create(
        self, tenant: str, url: str, events: Sequence[str], *, is_active: bool, webhook_id: str
    ) -> tuple[Webhook, str, bool]:
        """Create a webhook.

        Args:
            webhook_id: chosen by the caller, so that the call can be repeated; empty: a new one.

        Returns:
            The webhook, its secret, and whether an earlier call has created it. A repeated call gets the secret too.

        Raises:
            BadRequest, IdReused, TooManyWebhooks.
        """
        identity = chosen_id(webhook_id, "webhook_id")
        url, wanted = _checked_url(url), _checked_events(events)
        request_hash = sha256(json.dumps([url, wanted, is_active]).encode()).hexdigest()
        known = await self._store.get(tenant, identity) if webhook_id else None
        is_replay = known is not None
        if known is None:
            used, limit = await self.usage(tenant)
            if used >= limit:
                raise TooManyWebhooks(limit)
            now = now_in_milliseconds()
            sealed = self._secrets.new(tenant, identity)[1]
            new = Webhook(identity, tenant, url, wanted, is_active, sealed, now, now, now, request_hash=request_hash)
            known = await self._store.add(new)
        if (known.tenant, known.request_hash) != (tenant, request_hash):
            raise IdReused("webhook")
        return known, self._secrets.of(known)[0], is_replay

    async def get(self, tenant: str, webhook_id: str) -> Webhook:
        """One webhook.

        Raises:
            WebhookNotFound: the tenant has no webhook with this id.
        """
        found = await self._store.get(tenant, webhook_id)
        if found is None:
            raise WebhookNotFound(webhook_id)
        return found

    async def usage(self, tenant: str) -> tuple[int, int]:
        """How many webhooks the tenant has, and may have."""
        return await self._store.count(tenant), self._limits.of(tenant).max_webhooks

    async def page(self, tenant: str, *, before: Position | None, limit: int) -> Page[Webhook]:
        """A page of a tenant's webhooks, newest first."""
        return await self._store.page(tenant, before=before, limit=limit)

    async def update(self, tenant: str, webhook_id: str, change: Change, expected: datetime | None = None) -> Webhook:
        """Change a webhook. Activating one that was paused gives its endpoint a new chance.

        Raises:
            BadRequest, WebhookNotFound: as above.
            WrongState: other requests changed it at the same time.
            Outdated: it was last changed at another time than expected.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, webhook_id)
            check_unchanged(old.updated_at, expected)
            new = replace(old, updated_at=now_in_milliseconds())
            if change.url is not None:
                new = replace(new, url=_checked_url(change.url))
            if change.events is not None:
                new = replace(new, events=_checked_events(change.events))
            if change.is_active is not None:
                new = replace(new, is_active=change.is_active)
            if change.is_active and not old.is_active:
                new = replace(new, active_since=new.updated_at, failing_since=None, paused_at=None, pause_reason="")
            if (kept := await self._store.change(old, new)) is not None:
                if not kept.is_active:
                    await self._messages.drop(kept.id)
                return kept
        raise WrongState("webhook_changing", "Other requests are changing the webhook; try again.")

    async def rotate_secret(self, tenant: str, webhook_id: str) -> tuple[Webhook, str]:
        """Give a webhook a new secret. For 24 hours, requests are signed with the previous one too.

        Raises:
            WebhookNotFound, WrongState: as above.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, webhook_id)
            secret, sealed = self._secrets.new(tenant, webhook_id)
            now = now_in_milliseconds()
            new = replace(old, secret=sealed, previous_secret=old.secret, rotated_at=now, updated_at=now)
            if (kept := await self._store.change(old, new)) is not None:
                return kept, secret
        raise WrongState("webhook_changing", "Other requests are changing the webhook; try again.")

    async def delete(self, tenant: str, webhook_id: str, expected: datetime | None = None) -> None:
        """Delete a webhook; messages that wait for it are not sent.

        Raises:
            WebhookNotFound: the tenant has no webhook with this id.
            Outdated: it was last changed at another time than expected.
        """
        if not await self._store.delete(tenant, webhook_id, expected):
            check_unchanged((await self.get(tenant, webhook_id)).updated_at, expected)
            raise Outdated
        await self._messages.drop(webhook_id)

    async def test(self, tenant: str, webhook_id: str) -> Sent:
        """Send a test request, and return how it ended.

        Raises:
            WebhookNotFound: the tenant has no webhook with this id.
        """
        found = await self.get(tenant, webhook_id)
        text = body(TEST, datetime.now(UTC), {"webhook_id": found.id})
        answer = await self._sender.send(found.url, f"evt_{uuid.uuid4().hex}", text, self._secrets.of(found))
        return answer.sent


def _checked_url(url: str) -> str:
    """The URL of an endpoint.

    Raises:
        BadRequest: it is not one.
    """
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise BadRequest([Violation("url", f"must be an https URL of at most {MAX_URL} characters")])
    if parts.username is not None or parts.password is not None:
        raise BadRequest([Violation("url", "must not contain a user name or password; check the signature instead")])
    if parts.fragment:
        raise BadRequest([Violation("url", "must not contain a fragment (#)")])
    return url


def _checked_events(events: Iterable[str]) -> tuple[str, ...]:
    """The types of events, each once, in the order of `EventType`.

    Raises:
        BadRequest: there are none, or one of them is unknown.
    """
    wanted, known = set(events), [kind.value for kind in EventType]
    if not wanted or not wanted <= set(known):
        raise BadRequest([Violation("events", f"must be one or more of {', '.join(known)}")])
    return tuple(kind for kind in known if kind in wanted)
