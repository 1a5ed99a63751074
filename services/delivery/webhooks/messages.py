"""Webhooks, messages and events to the messages of webhooks.proto."""

import json

from services.chassis.timestamps import to_duration, to_timestamp
from services.delivery.webhooks.event import Event
from services.delivery.webhooks.webhook import OVERLAP, Message, MessageState, Sent, Webhook
from services.wire import webhooks_pb2 as pb

STATES = {state: pb.WebhookMessageState.Value(f"WEBHOOK_MESSAGE_STATE_{state.name}") for state in MessageState}


def webhook_message(webhook: Webhook) -> pb.Webhook:
    """The webhook without its secret."""
    return pb.Webhook(
        id=webhook.id,
        tenant=webhook.tenant,
        url=webhook.url,
        events=webhook.events,
        is_active=webhook.is_active,
        created_at=to_timestamp(webhook.created_at),
        updated_at=to_timestamp(webhook.updated_at),
        failing_since=to_timestamp(webhook.failing_since),
        paused_at=to_timestamp(webhook.paused_at),
        pause_reason=webhook.pause_reason,
        previous_secret_expires_at=to_timestamp(webhook.rotated_at + OVERLAP if webhook.rotated_at else None),
    )


def attempt_message(sent: Sent) -> pb.WebhookAttempt:
    """One request and how it ended."""
    return pb.WebhookAttempt(
        sent_at=to_timestamp(sent.at),
        status_code=sent.status,
        duration=to_duration(sent.seconds),
        error=sent.error,
    )


def message_message(message: Message) -> pb.WebhookMessage:
    """A message to a webhook."""
    return pb.WebhookMessage(
        event_id=message.event_id,
        type=message.type,
        state=STATES[message.state],
        attempts=map(attempt_message, message.attempts),
        created_at=to_timestamp(message.created_at),
        next_attempt_at=to_timestamp(message.due_at),
    )


def event_message(event: Event) -> pb.Event:
    """A numbered event."""
    return pb.Event(
        id=event.id,
        type=event.type,
        sequence=event.sequence or 0,
        happened_at=to_timestamp(event.at),
        data_json=json.dumps(dict(event.data)),
    )
