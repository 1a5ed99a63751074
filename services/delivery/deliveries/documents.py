"""Converts deliveries to and from MongoDB documents; the only module that knows the names of the stored fields."""

from dataclasses import asdict
from typing import Any

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Document, load
from services.delivery.deliveries.delivery import (
    Delivery,
    DeliveryState,
    End,
    File,
    NewDelivery,
    PastAttempt,
    Receipt,
)


def from_document(document: Document) -> Delivery:
    """The delivery in a document of the `deliveries` collection."""
    receipt, attempts = document.get("receipt"), document.get("attempts", ())
    return load(
        Delivery,
        document,
        id=document["_id"],
        file=load(File, document["file"]),
        state=DeliveryState(document["state"]),
        receipt=load(Receipt, receipt) if receipt else None,
        error=_error(document.get("error")),
        attempts=tuple(load(PastAttempt, past, error=_error(past.get("trouble"))) for past in attempts),
        ends=tuple(load(End, end, state=DeliveryState(end["state"])) for end in document.get("ends", ())),
    )


def _error(document: Document | None) -> ErrorInfo | None:
    return load(ErrorInfo, document) if document else None


def new_document(delivery_id: str, delivery: NewDelivery) -> dict[str, Any]:
    """The fields of a new delivery, without its times."""
    return {
        "_id": delivery_id,
        **asdict(delivery),
        "state": DeliveryState.PENDING.value,
        "bytes_sent": 0,
        "fence": 0,
        "attempt": 0,
    }


def error_document(error: ErrorInfo) -> dict[str, str]:
    """An error as stored."""
    return asdict(error)


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """A receipt as stored."""
    return {**asdict(receipt), "reported": dict(receipt.reported)}
