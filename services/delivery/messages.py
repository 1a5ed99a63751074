"""Platforms and deliveries to the protocol's messages, and what lists are asked for from them."""

import json
from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import paging as cursors
from services.chassis.faults import BadRequest, ErrorInfo, Violation
from services.delivery.deliveries.delivery import Delivery, DeliveryState, PastAttempt, Receipt
from services.delivery.platforms.config import masked
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.probe import StepResult
from services.wire import delivery_pb2 as pb

STATES: dict[DeliveryState, pb.DeliveryState.ValueType] = {
    state: pb.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in DeliveryState
}
FROM_STATES = {value: state for state, value in STATES.items()}


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def platform_message(platform: Platform) -> pb.Platform:
    """The platform, its secrets masked."""
    return pb.Platform(
        id=platform.id,
        tenant=platform.tenant,
        name=platform.name,
        platform_type=platform.type,
        config_json=json.dumps(masked(platform.config, platform.secrets), ensure_ascii=False),
        is_active=platform.is_active,
        created_at=_stamp(platform.created_at),
        updated_at=_stamp(platform.updated_at),
    )


def delivery_message(delivery: Delivery) -> pb.JobDelivery:
    """The delivery with its attempts and receipt."""
    message = pb.JobDelivery(
        id=delivery.id,
        tenant=delivery.tenant,
        job_id=delivery.job_id,
        platform_id=delivery.platform_id,
        platform_name=delivery.platform_name,
        platform_type=delivery.platform_type,
        state=STATES[delivery.state],
        file_name=delivery.remote_name or "",
        bytes_sent=delivery.bytes_sent,
        size=delivery.file.size,
        sha256=delivery.file.sha256,
        attempts=[_attempt(past) for past in delivery.attempts],
        attempt=delivery.attempt,
        max_attempts=delivery.max_attempts,
        created_at=_stamp(delivery.created_at),
        delivered_at=_stamp(delivery.delivered_at),
        next_attempt_at=_stamp(delivery.due_at if delivery.state is DeliveryState.RETRY_WAIT else None),
    )
    if delivery.error is not None:
        message.error.CopyFrom(_fault(delivery.error))
    if delivery.receipt is not None:
        message.receipt.CopyFrom(_receipt(delivery.receipt))
    return message


def test_message(results: list[StepResult]) -> pb.TestPlatformResponse:
    """How a probe went."""
    steps = [
        pb.TestStep(name=r.step.value, ok=r.ok, code=r.code, message=r.message, seconds=r.seconds) for r in results
    ]
    return pb.TestPlatformResponse(ok=bool(results) and all(result.ok for result in results), steps=steps)


def _receipt(receipt: Receipt) -> pb.Receipt:
    return pb.Receipt(
        remote=receipt.remote,
        url=receipt.url,
        size=receipt.size,
        sha256=receipt.sha256,
        reported=dict(receipt.reported),
        seconds=receipt.seconds,
        bytes_per_second=0 if receipt.was_there or not receipt.seconds else receipt.size / receipt.seconds,
        was_there=receipt.was_there,
    )


def _attempt(past: PastAttempt) -> pb.Attempt:
    message = pb.Attempt(started_at=_stamp(past.started_at), ended_at=_stamp(past.ended_at))
    if past.error is not None:
        message.step, message.code, message.message = past.error.step, past.error.code, past.error.message
    return message


def _fault(error: ErrorInfo) -> pb.Fault:
    return pb.Fault(code=error.code, message=error.message)


def from_states(values: Iterable[pb.DeliveryState.ValueType]) -> list[DeliveryState]:
    """The states a list is narrowed to.

    Raises:
        BadRequest: a number that is no state.
    """
    chosen = list(values)
    if unknown := [str(value) for value in chosen if value not in FROM_STATES]:
        raise BadRequest([Violation("states", f"{', '.join(unknown)} is no state of a delivery")])
    return [FROM_STATES[value] for value in chosen]


def from_cursor(cursor: str) -> tuple[datetime, str] | None:
    """The position a cursor stands for; None for the beginning.

    Raises:
        BadRequest: not a cursor of ours.
    """
    try:
        return cursors.from_cursor(cursor)
    except ValueError as exc:
        raise BadRequest([Violation("cursor", "is not a cursor of this list; start without one")]) from exc
