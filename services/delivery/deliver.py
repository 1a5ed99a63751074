"""One attempt at one delivery: settle the name, look what is there, send, and make out the receipt."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC

from services.chassis import file_names
from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore
from services.delivery.deliveries import Delivery, Receipt
from services.delivery.delivery_store import DeliveryStore, Lease
from services.delivery.destinations.contract import (
    Destination,
    DestinationConfig,
    DestinationError,
    NameTaken,
    Notes,
    Payload,
    RemoteFile,
    Session,
)
from services.delivery.egress import Egress
from services.delivery.errors import SourceError

MOST_NAMES = 1_000
"""Names `on_conflict: rename` tries."""


class LeaseLost(Exception):
    """Somebody else has the delivery now."""


@dataclass(slots=True)
class Progress:
    """What an attempt shows to its heartbeat."""

    sent: int = 0
    verifying: bool = False

    def report(self, sent: int) -> None:
        """The destination has this many bytes."""
        self.sent = sent

    def verify(self) -> None:
        """All bytes are there and are checked."""
        self.verifying = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a delivery goes: an open way to its destination."""

    destination: Destination
    config: DestinationConfig
    egress: Egress
    pins: Notes


class Attempt:
    """One attempt.

    Args:
        notes: what the destination remembers from attempt to attempt.
    """

    def __init__(
        self, lease: Lease, place: Place, store: DeliveryStore, blobs: BlobStore, notes: Notes, progress: Progress
    ) -> None:
        self._lease = lease
        self._delivery = lease.delivery
        self._place = place
        self._store = store
        self._blobs = blobs
        self._progress = progress
        self._payload = _payload(lease.delivery, blobs, notes, progress)

    async def run(self) -> Receipt:
        """Deliver.

        Raises:
            DestinationError, SourceError: it did not work.
            LeaseLost: somebody else has the delivery.
        """
        started = time.monotonic()
        place = self._place
        async with place.destination.open(place.config, place.egress, place.pins) as session:
            name = self._delivery.remote_name or wanted_name(place.config, self._delivery)
            there = await self._already_there(session, name)
            found = there or await self._skipped(session, name)
            made = found or await self._sent(session, name)
        return Receipt(
            remote=made.remote,
            url=made.url,
            size=made.size,
            # What was left alone under on_conflict: skip is another file, of which no hash is known.
            sha256=self._delivery.file.sha256 if there is not None or found is None else "",
            reported=dict(made.reported),
            seconds=time.monotonic() - started,
            was_there=found is not None,
        )

    async def _already_there(self, session: Session, name: str) -> RemoteFile | None:
        """What an earlier attempt of this delivery may have finished without hearing of it."""
        if self._delivery.remote_name is None:
            return None
        found = await session.find(name)
        return found if found is not None and await session.matches(found, self._payload) else None

    async def _skipped(self, session: Session, name: str) -> RemoteFile | None:
        """The file that `on_conflict: skip` leaves as it is."""
        return await session.find(name) if self._place.config.on_conflict == "skip" else None

    async def _sent(self, session: Session, name: str) -> RemoteFile:
        """Send under the first name that may be had; each is stored before anything is sent under it."""
        conflict = self._place.config.on_conflict
        for chosen in [name, *(numbered(name, n) for n in range(1, MOST_NAMES if conflict == "rename" else 1))]:
            if conflict != "overwrite" and await session.find(chosen) is not None:
                continue
            if not await self._store.settle_name(self._lease, chosen):
                raise LeaseLost
            try:
                return await session.send(chosen, self._payload, replace=conflict == "overwrite")
            except NameTaken:
                continue
            except DestinationError as exc:
                if not exc.passing or self._delivery.attempt >= self._delivery.max_attempts:
                    with suppress(DestinationError):
                        await session.tidy(chosen, self._payload)
                raise
        raise NameTaken(name)


def wanted_name(config: DestinationConfig, delivery: Delivery) -> str:
    """The name by the platform's template, else the job's own file name."""
    if config.file_name is None:
        return delivery.file.name
    at = delivery.file.created_at.astimezone(UTC)
    values = {
        "format": delivery.file.format,
        "date": at.strftime("%Y-%m-%d"),
        "time": at.strftime("%H%M%S"),
        "schedule": delivery.file.schedule_name,
        "job": delivery.job_id,
    }
    extension = delivery.file.extension
    return file_names.filled(config.file_name, values, extension=extension, otherwise=delivery.file.format)


def numbered(name: str, number: int) -> str:
    """`shop.csv` becomes `shop (1).csv`."""
    stem, dot, extension = name.rpartition(".")
    return f"{stem} ({number}){dot}{extension}" if stem else f"{name} ({number})"


def _payload(delivery: Delivery, blobs: BlobStore, notes: Notes, progress: Progress) -> Payload:
    async def read(offset: int) -> AsyncIterator[bytes]:
        try:
            async with aclosing(blobs.read(delivery.file.key, offset)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except BlobMissing as exc:
            raise SourceError(
                "file_expired", "The file was removed by retention; export it again.", passing=False
            ) from exc
        except BlobError as exc:
            raise SourceError("artifact_store_unavailable", f"The file cannot be read: {exc}", passing=True) from exc

    return Payload(
        delivery_id=delivery.id,
        size=delivery.file.size,
        sha256=delivery.file.sha256,
        media_type=delivery.file.media_type,
        read=read,
        progress=progress.report,
        verifying=progress.verify,
        notes=notes,
    )
