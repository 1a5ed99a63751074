"""Platforms and deliveries to the messages of delivery.proto."""

import json

from services.chassis.faults import ErrorInfo
from services.chassis.timestamps import to_duration, to_timestamp
from services.delivery.deliveries.delivery import Delivery, DeliveryState, File, PastAttempt, Receipt
from services.delivery.platforms.config import masked
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.probe import StepResult
from services.wire import delivery_pb2 as pb
from services.wire import errors_pb2

STATES: dict[DeliveryState, pb.DeliveryState.ValueType] = {
    state: pb.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in DeliveryState
}
FROM_STATES = {value: state for state, value in STATES.items()}


def platform_message(platform: Platform) -> pb.Platform:
    """The platform, its secrets masked."""
    return pb.Platform(
        id=platform.id,
        tenant=platform.tenant,
        name=platform.name,
        platform_type=platform.type,
        config_json=json.dumps(masked(platform.config, platform.secrets), ensure_ascii=False),
        is_active=platform.is_active,
        created_at=to_timestamp(platform.created_at),
        updated_at=to_timestamp(platform.updated_at),
    )


def delivery_message(delivery: Delivery, *, brief: bool = False) -> pb.Delivery:
    """The delivery; a brief one has no attempts and no receipt."""
    receipt = None if brief else delivery.receipt
    return pb.Delivery(
        id=delivery.id,
        tenant=delivery.tenant,
        job_id=delivery.job_id,
        job_created_at=to_timestamp(delivery.file.created_at),
        platform_id=delivery.platform_id,
        platform_name=delivery.platform_name,
        platform_type=delivery.platform_type,
        state=STATES[delivery.state],
        file_name=delivery.remote_name or "",
        sent_bytes=delivery.bytes_sent,
        size_bytes=delivery.file.size,
        sha256=delivery.file.sha256,
        receipt=None if receipt is None else _receipt(receipt, delivery.file),
        attempts=[] if brief else [_attempt(past) for past in delivery.attempts],
        attempt=delivery.attempt,
        max_attempts=delivery.max_attempts,
        error=_error(delivery.error),
        created_at=to_timestamp(delivery.created_at),
        delivered_at=to_timestamp(delivery.delivered_at),
        next_attempt_at=to_timestamp(delivery.due_at if delivery.state is DeliveryState.RETRY_WAIT else None),
    )


def test_message(results: list[StepResult]) -> pb.TestPlatformResponse:
    """The result of a probe."""
    steps = [
        pb.TestStep(
            name=result.step.value,
            ok=result.ok,
            error=None if result.ok else errors_pb2.ErrorInfo(code=result.code, message=result.message),
            duration=to_duration(result.seconds),
        )
        for result in results
    ]
    return pb.TestPlatformResponse(ok=bool(results) and all(result.ok for result in results), steps=steps)


def _receipt(receipt: Receipt, file: File) -> pb.Receipt:
    return pb.Receipt(
        remote=receipt.remote,
        url=receipt.url,
        size_bytes=receipt.size,
        sha256=receipt.sha256,
        reported=dict(receipt.reported),
        duration=to_duration(receipt.seconds),
        bytes_per_second=0 if receipt.was_there or not receipt.seconds else receipt.size / receipt.seconds,
        already_present=receipt.was_there,
        base_job_id=file.base_job_id,
        base_sha256=file.base_sha256,
        changes_number=file.changes_number,
    )


def _attempt(past: PastAttempt) -> pb.Attempt:
    return pb.Attempt(
        started_at=to_timestamp(past.started_at), ended_at=to_timestamp(past.ended_at), error=_error(past.error)
    )


def _error(error: ErrorInfo | None) -> errors_pb2.ErrorInfo | None:
    return None if error is None else errors_pb2.ErrorInfo(code=error.code, message=error.message, step=error.step)
