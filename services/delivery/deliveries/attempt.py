"""One attempt at one delivery: look for the file at the destination, store its name, send it, write the receipt."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog

from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore
from services.chassis.leasing.leases import LeaseLost
from services.chassis.telemetry import tracing
from services.delivery.deliveries.delivery import Delivery, Progress, Receipt
from services.delivery.deliveries.outcomes import UploadSpans
from services.delivery.deliveries.store import DeliveryStore, Lease
from services.delivery.destinations.contract import (
    DestinationConfig,
    DestinationError,
    NameTaken,
    Notes,
    Payload,
    RemoteFile,
    Session,
)
from services.delivery.destinations.kit.timeouts import attempt_deadline
from services.delivery.errors import SourceError
from services.delivery.platforms.kept_sessions import KeptSessions
from services.delivery.platforms.targets import Target
from services.file_names import file_name

log = structlog.get_logger()

COMPRESSED = ("gz", "zst")
"""Extensions that follow that of the content."""
MAX_NAMES = 1_000
"""Names that `on_conflict: rename` tries."""


class Attempt:
    """One attempt.

    Args:
        notes: values that the destination keeps from attempt to attempt.
    """

    def __init__(
        self,
        lease: Lease,
        target: Target,
        sessions: KeptSessions,
        store: DeliveryStore,
        blobs: BlobStore,
        notes: Notes,
        progress: Progress,
    ) -> None:
        self._lease = lease
        self._delivery = lease.delivery
        self._target = target
        self._sessions = sessions
        self._store = store
        self._spans = UploadSpans()
        self._progress = progress
        self._payload = _payload(lease.delivery, blobs, notes, self._report, self._verifying)
        self._name = lease.delivery.remote_name

    def _report(self, sent: int) -> None:
        self._progress.sent = sent

    def _verifying(self) -> None:
        self._progress.is_verifying = True
        self._spans.verifying()

    async def run(self) -> Receipt:
        """Send the file, or find it at the destination.

        Raises:
            DestinationError, SourceError: the attempt failed.
            LeaseLost: another process has claimed the delivery.
        """
        started = time.monotonic()
        async with self._sessions.session(self._target) as session:
            try:
                async with attempt_deadline(self._payload.size):
                    outcome = await self._outcome(session)
            except (DestinationError, SourceError) as exc:
                if not exc.transient or self._delivery.attempt >= self._delivery.max_attempts:
                    await self._tidy(session, self._name)
                raise
        return Receipt(
            remote=outcome.file.remote,
            url=outcome.file.url,
            size=outcome.file.size,
            sha256=self._delivery.file.sha256 if outcome.is_ours else "",
            reported=dict(outcome.file.reported),
            seconds=time.monotonic() - started,
            was_there=outcome.was_there,
        )

    async def tidy(self) -> None:
        """Remove what this attempt left at the destination, once another one has ended the delivery.

        Raises:
            DestinationError: the destination cannot be reached.
        """
        if self._name is not None:
            async with self._sessions.session(self._target) as session:
                await self._tidy(session, self._name)

    async def _outcome(self, session: Session) -> "_Outcome":
        wanted = wanted_name(self._target.config, self._delivery)
        earlier = self._name
        if earlier is not None:
            with tracing.span("look"):
                found = await session.find(earlier)
                is_ours = found is not None and await session.matches(found, self._payload)
            if found is not None and is_ours:
                await self._tidy(session, earlier)  # a slower attempt may have left parts behind
                return _Outcome(found, is_ours=True, was_there=True)
        if earlier is not None and not is_name_for(earlier, wanted):  # the template was changed
            await self._tidy(session, earlier)
            earlier = None
        return await self._sent(session, [earlier or wanted, *self._others(wanted)])

    def _others(self, wanted: str) -> Iterator[str]:
        if self._target.config.on_conflict == "rename":
            yield from (numbered(wanted, n) for n in range(1, MAX_NAMES))

    async def _sent(self, session: Session, names: Iterable[str]) -> "_Outcome":
        """Send under the first free name; a name is stored before anything is sent under it."""
        conflict = self._target.config.on_conflict
        for name in names:
            found = None if conflict == "overwrite" else await _found(session, name)
            if found is None:
                await self._settle(name)
                try:
                    with self._spans:
                        sent = await session.send(name, self._payload, replace=conflict == "overwrite")
                    return _Outcome(sent, is_ours=True, was_there=False)
                except NameTaken:
                    await self._tidy(session, name)
                    found = await _found(session, name)
            if found is not None and conflict == "skip":
                await self._tidy(session, name)
                return _Outcome(found, is_ours=False, was_there=True)
        raise NameTaken(name)

    async def _settle(self, name: str) -> None:
        if not await self._store.settle_name(self._lease, name):
            raise LeaseLost
        self._name = name

    async def _tidy(self, session: Session, name: str | None) -> None:
        """Remove what unfinished attempts left; a failure to do so does not change the delivery's outcome."""
        if name is not None:
            with suppress(DestinationError):
                await session.tidy(name, self._payload)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The file at the destination: this delivery's (`is_ours`), or another one that `on_conflict: skip` left alone."""

    file: RemoteFile
    is_ours: bool
    was_there: bool


async def _found(session: Session, name: str) -> RemoteFile | None:
    with tracing.span("look"):
        return await session.find(name)


def wanted_name(config: DestinationConfig, delivery: Delivery) -> str:
    """The name from the platform's template; without one, the job's file name."""
    file = delivery.file
    if config.file_name is None:
        return file.name
    return file_name(
        config.file_name,
        extension=file.extension,
        form=file.format,
        job_id=delivery.job_id,
        schedule=file.schedule_name,
        created_at=file.created_at,
    )


def numbered(name: str, number: int) -> str:
    """`shop.csv` becomes `shop (1).csv`, and `shop.csv.gz` becomes `shop (1).csv.gz`."""
    stem, dot, extension = name.rpartition(".")
    inner, inner_dot, inner_extension = stem.rpartition(".")
    if inner and extension in COMPRESSED:
        return f"{inner} ({number}){inner_dot}{inner_extension}.{extension}"
    return f"{stem} ({number}){dot}{extension}" if stem else f"{name} ({number})"


def is_name_for(name: str, wanted: str) -> bool:
    """Whether `name` is the wanted name, or one that `on_conflict: rename` makes from it."""
    return name == wanted or any(name == numbered(wanted, number) for number in range(1, MAX_NAMES))


def _payload(
    delivery: Delivery, blobs: BlobStore, notes: Notes, progress: Callable[[int], None], verifying: Callable[[], None]
) -> Payload:
    async def read(offset: int) -> AsyncIterator[bytes]:
        try:
            async with aclosing(blobs.read(delivery.file.key, offset)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except BlobMissing as exc:
            raise SourceError(
                "file_expired", "The file was removed by retention; export it again.", transient=False
            ) from exc
        except BlobError as exc:
            log.warning("artifact_unreadable", action="deliver", reason=str(exc))  # may name internal servers
            message = "The file cannot be read at the moment: the artifact store is not available."
            raise SourceError("artifact_store_unavailable", message, transient=True) from exc

    return Payload(
        delivery_id=delivery.id,
        size=delivery.file.size,
        sha256=delivery.file.sha256,
        media_type=delivery.file.media_type,
        read=read,
        progress=progress,
        verifying=verifying,
        notes=notes,
    )
