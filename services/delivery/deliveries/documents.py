"""Deliveries to and from their MongoDB documents; the only place that knows the fields' names in the database."""

from dataclasses import asdict
from typing import Any

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document
from services.delivery.deliveries.delivery import (
    Delivery,
    DeliveryState,
    File,
    NewDelivery,
    PastAttempt,
    Receipt,
)


def from_document(document: Document) -> Delivery:
    """The delivery in a document of the `deliveries` collection."""
    receipt, error = document.get("receipt"), document.get("error")
    return Delivery(
        id=document["_id"],
        file=File(**document["file"]),
        state=DeliveryState(document["state"]),
        receipt=Receipt(**receipt) if receipt else None,
        error=ErrorInfo(**error) if error else None,
        attempts=tuple(_attempt(past) for past in document.get("attempts", ())),
        **{name: document[name] for name in _PLAIN if name in document},
    )


_PLAIN = (
    "tenant",
    "job_id",
    "platform_id",
    "platform_name",
    "platform_type",
    "created_at",
    "updated_at",
    "remote_name",
    "bytes_sent",
    "delivered_at",
    "due_at",
    "started_at",
    "fence",
    "attempt",
    "max_attempts",
    "request_id",
    "traceparent",
    "notes",
)


def _attempt(document: Document) -> PastAttempt:
    error = document.get("trouble")
    return PastAttempt(document["started_at"], document["ended_at"], ErrorInfo(**error) if error else None)


def new_document(delivery: NewDelivery) -> dict[str, Any]:
    """The fields of a delivery that is to be made, without its times."""
    return {
        "_id": delivery.id,
        "tenant": delivery.tenant,
        "job_id": delivery.job_id,
        "platform_id": delivery.platform_id,
        "platform_name": delivery.platform_name,
        "platform_type": delivery.platform_type,
        "file": asdict(delivery.file),
        "state": DeliveryState.PENDING.value,
        "bytes_sent": 0,
        "fence": 0,
        "attempt": 0,
        "max_attempts": delivery.max_attempts,
        "request_id": delivery.request_id,
        "traceparent": delivery.traceparent,
    }


def error_document(error: ErrorInfo) -> dict[str, str]:
    """An error as stored."""
    return {"code": error.code, "message": error.message, "step": error.step}


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """A receipt as stored."""
    return {**asdict(receipt), "reported": dict(receipt.reported)}
