"""Sends messages that are due, the tenants in turn, a few at a time to each webhook."""

import asyncio
import random

import structlog

from services.chassis import loops
from services.chassis.faults import Unavailable
from services.chassis.leasing.due_work import DueWork
from services.delivery.webhooks.message_store import MessageStore
from services.delivery.webhooks.outcomes import PAUSED, REQUESTS
from services.delivery.webhooks.secrets import WebhookSecrets
from services.delivery.webhooks.sender import REQUEST_SECONDS, Sender
from services.delivery.webhooks.store import WebhookStore
from services.delivery.webhooks.webhook import Answer, Message, MessageState, PauseReason, Webhook, pause_after

log = structlog.get_logger()

POLL_SECONDS, POLL_IDLE = 0.5, 3.0
CLAIM_SECONDS = 3 * REQUEST_SECONDS
"""After which another process sends a message whose process was killed."""
WEBHOOK_SLOTS = 4
"""Concurrent requests to one webhook."""
SLOTS = 16
"""Concurrent requests of one process, and one more of a tenant that has none running here."""


class WebhookWorker:
    """Sends messages."""

    def __init__(self, messages: MessageStore, webhooks: WebhookStore, secrets: WebhookSecrets, sender: Sender) -> None:
        self._messages = messages
        self._webhooks = webhooks
        self._secrets = secrets
        self._sender = sender
        self._due = DueWork[Message](
            messages.waiting_tenants,
            lambda tenant, busy: messages.claim(tenant, CLAIM_SECONDS, busy=busy),
            lambda message: message.webhook_id,
            lambda message: asyncio.create_task(self._handle(message)),
            slots=SLOTS,
            receiver_slots=WEBHOOK_SLOTS,
            poll=POLL_SECONDS,
            idle=POLL_IDLE,
        )

    def wake(self) -> None:
        """Query for messages now."""
        self._due.wake()

    async def run(self) -> None:
        """Send until cancelled. What is being sent then is sent again by another process."""
        try:
            while True:
                loops.raise_if_cancelled()
                try:
                    while await self._due.start_one():
                        pass
                except Unavailable as exc:
                    log.warning("claim_failed", action="webhooks", reason=exc.message)
                await self._due.pause()
        finally:
            for task in self._due.running:
                task.cancel()

    async def _handle(self, message: Message) -> None:
        try:
            await self._send(message)
        except Exception as exc:  # noqa: BLE001  the claim runs out, and the message is sent again
            log.warning("webhook_interrupted", action="webhooks", reason=repr(exc)[:300])

    async def _send(self, message: Message) -> None:
        webhook = await self._webhooks.get(message.tenant, message.webhook_id)
        if webhook is None or not webhook.is_active:
            await self._messages.ended(message, MessageState.FAILED, None)
            return
        answer = await self._sender.send(webhook.url, message.event_id, message.body, self._secrets.of(webhook))
        outcome = await self._settle(message, webhook, answer)
        REQUESTS.labels(outcome).inc()
        log.info(
            "webhook_sent",
            action="webhooks",
            tenant=message.tenant,
            webhook_id=webhook.id,
            event_id=message.event_id,
            attempt=message.attempt,
            status=answer.sent.status,
            outcome=outcome,
        )

    async def _settle(self, message: Message, webhook: Webhook, answer: Answer) -> str:
        """Store how the request ended; returns the outcome."""
        if answer.sent.succeeded:
            await self._messages.ended(message, MessageState.DELIVERED, answer.sent)
            if webhook.failing_since is not None:
                await self._webhooks.succeeded(webhook.id)
            return "delivered"
        # Before the webhook is paused, which fails all messages that are still pending.
        pause = None if answer.is_gone else pause_after(message.attempt, answer.retry_after, random.random())  # noqa: S311  jitter
        if pause is None:
            await self._messages.ended(message, MessageState.FAILED, answer.sent)
        else:
            await self._messages.postponed(message, answer.sent, pause)
        is_over = await self._webhooks.failed(webhook.id, answer.sent.at)
        if answer.is_gone or is_over:
            await self._pause(webhook, PauseReason.GONE if answer.is_gone else PauseReason.FAILING)
        return "failed" if pause is None else "retried"

    async def _pause(self, webhook: Webhook, reason: PauseReason) -> None:
        if await self._webhooks.pause(webhook.id, reason):
            PAUSED.labels(reason.value).inc()
            log.warning(
                "webhook_paused", action="webhooks", tenant=webhook.tenant, webhook_id=webhook.id, reason=reason
            )
        await self._messages.drop(webhook.id)
