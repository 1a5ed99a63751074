"""The event that an export has ended: the exporter publishes it, delivery and the scheduler receive it.

Beside `wire`, because three services use it; the chassis knows no messages. An event may be lost.
"""

from datetime import UTC

import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from services.chassis.jetstream import Inbox, JetStream, Stream
from services.wire.events_pb2 import ExportFinished

log = structlog.get_logger()

EVENTS = Stream("EXPORT_EVENTS", "exports.events.*", work_queue=False)
ACK_WAIT = 30.0


def event_inbox(jetstream: JetStream, service: str) -> Inbox:
    """The events, each for one replica of the service."""
    return Inbox(jetstream, EVENTS, service, ack_wait=ACK_WAIT)


def parse_event(message: Msg) -> ExportFinished | None:
    """The event in a message; one that cannot be read is logged and ignored."""
    event = ExportFinished()
    try:
        event.ParseFromString(message.data)
        event.finished_at.ToDatetime(UTC)
    except (DecodeError, ValueError, OverflowError):
        log.warning("event_unreadable", action="listen", subject=message.subject)
        return None
    return event
