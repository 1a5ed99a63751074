"""Makes deliveries: claims what is due, keeps its lease alive beside the attempt, records how it ended."""

import asyncio
import time
from collections import Counter as Tally
from contextlib import suppress

import structlog

from services.chassis import loops
from services.chassis.backoff import Retries
from services.chassis.blobs.contract import BlobStore
from services.chassis.faults import ErrorInfo, Unavailable
from services.chassis.telemetry import tracing
from services.delivery.deliveries import outcomes as attempts
from services.delivery.deliveries.attempt import Attempt, LeaseLost, Progress
from services.delivery.deliveries.attempt_state import DeliveryNotes, PlatformPins
from services.delivery.deliveries.delivery import Delivery, Receipt
from services.delivery.deliveries.fan_out import INACTIVE
from services.delivery.deliveries.store import DeliveryStore, Lease
from services.delivery.destinations.contract import DestinationError
from services.delivery.errors import SourceError
from services.delivery.platforms.secrets import Vault
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import Places, Unplaceable

log = structlog.get_logger()

LOOK_SECONDS = 0.5
"""Between two looks for what is due, when nobody nudges."""
BEAT_SECONDS = 1.0

GOODBYE_SECONDS = 10.0
"""What all deliveries together have to be given back when the process leaves."""
CLOSING_SECONDS = 5.0
"""What an attempt that is ended has to close its connections."""

LONGEST_MESSAGE = 1_000
"""Characters of what is stored of a destination's complaint."""

GONE = ErrorInfo("platform_deleted", "The platform was deleted.")
GIVEN_UP = ErrorInfo(
    "attempts_exhausted",
    "Every attempt ended without a word: its process crashed or was killed. See the service's log.",
)
BROKEN = ErrorInfo("internal", "The attempt failed in a way nobody foresaw; see the service's log.")


class Stopped(Exception):
    """This process leaves."""


class Worker:
    """Up to `slots` deliveries at a time, `platform_slots` of them to one platform.

    Args:
        lease: seconds a delivery stays ours after the last heartbeat.
        first_retry, longest_retry: seconds before the next attempt; doubling from the first to the longest.
    """

    def __init__(
        self,
        store: DeliveryStore,
        platforms: PlatformStore,
        places: Places,
        blobs: BlobStore,
        vault: Vault,
        *,
        owner: str,
        slots: int,
        platform_slots: int,
        lease: float,
        first_retry: float,
        longest_retry: float,
    ) -> None:
        self._store = store
        self._platforms = platforms
        self._places = places
        self._blobs = blobs
        self._vault = vault
        self._owner = owner
        self._slots = slots
        self._platform_slots = platform_slots
        self._lease = lease
        self._retries = Retries(first_retry, longest_retry)
        self._working: dict[asyncio.Task[None], str] = {}
        self._nudge = asyncio.Event()
        self._leaving = asyncio.Event()

    def nudge(self) -> None:
        """Something may be due: look at once."""
        self._nudge.set()

    async def run(self) -> None:
        """Look and work until cancelled; then everything is given back, so that another process has it at once."""
        self._leaving.clear()
        filling: asyncio.Task[None] | None = None
        try:
            while True:
                loops.heed_cancellation()
                self._nudge.clear()
                filling = asyncio.create_task(self._fill())
                try:
                    await asyncio.shield(filling)
                except Unavailable as exc:
                    log.warning("claim_failed", action="claim", reason=exc.message)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), LOOK_SECONDS)
        finally:
            # Deliveries are told, not cancelled: a claim or a commit on its way to MongoDB has to be seen to its end.
            self._leaving.set()
            if filling is not None:
                await asyncio.wait([filling], timeout=GOODBYE_SECONDS)
            if self._working:
                await asyncio.wait(self._working, timeout=GOODBYE_SECONDS)

    async def _fill(self) -> None:
        """Claim while there are free slots and due deliveries."""
        while (given_up := await self._store.give_up_one(GIVEN_UP)) is not None:
            attempts.FAILURES.labels(given_up.platform_type, GIVEN_UP.code).inc()
            log.warning("delivery_given_up", action="claim")
        while len(self._working) < self._slots and not self._leaving.is_set():
            busy = [p for p, n in Tally(self._working.values()).items() if n >= self._platform_slots]
            lease = await self._store.claim(self._owner, self._lease, busy=busy)
            if lease is None:
                return
            task = asyncio.create_task(self._handle(lease))
            self._working[task] = lease.delivery.platform_id
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.pop(task, None)
        self._nudge.set()

    async def _handle(self, lease: Lease) -> None:
        found = lease.delivery
        structlog.contextvars.bind_contextvars(
            delivery_id=found.id, job_id=found.job_id, tenant=found.tenant, platform_id=found.platform_id
        )
        attempts.RUNNING.inc()
        try:
            with attempts.claimed(found):
                log.info("delivery_claimed", action="claim", attempt=found.attempt, fence=found.fence)
                await self._work(lease)
        except Unavailable as exc:  # its lease runs out, and somebody takes it again
            log.warning("work_interrupted", action="deliver", reason=exc.message)
        except Exception:
            log.exception("work_failed", action="deliver")
        finally:
            attempts.RUNNING.dec()

    async def _work(self, lease: Lease) -> None:
        """Bring the delivery to where this attempt leaves it."""
        try:
            receipt = await self._attempted(lease)
        except Stopped:
            given_back = await self._store.give_back(lease)
            attempts.ended(lease.delivery, "given_back")
            log.info("delivery_given_back", action="deliver", held=given_back)
        except LeaseLost:
            attempts.ended(lease.delivery, "fenced")
            log.warning("lease_lost", action="deliver")
        except (DestinationError, SourceError, Unplaceable) as exc:
            step = exc.step.value if isinstance(exc, DestinationError) else ""
            await self._explain(
                lease, ErrorInfo(exc.code, exc.message[:LONGEST_MESSAGE], step), transient=exc.transient
            )
        except Unavailable:
            raise
        except Exception:
            log.exception("attempt_crashed", action="deliver")
            await self._explain(lease, BROKEN, transient=True)
        else:
            await self._commit(lease, receipt)

    async def _attempted(self, lease: Lease) -> Receipt:
        """The attempt beside its heartbeat; when the lease is lost, or this process leaves, the attempt is ended.

        Raises:
            DestinationError, SourceError, Unplaceable: why it did not work.
            LeaseLost, Stopped: it was ended.
        """
        progress = Progress()
        making = asyncio.create_task(self._made(lease, progress))
        making.add_done_callback(lambda task: task.cancelled() or task.exception())  # also when nobody waits any more
        beating = asyncio.create_task(self._beat(lease, progress))
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait([making, beating, leaving], return_when=asyncio.FIRST_COMPLETED)
            if making.done():
                return making.result()
            making.cancel()
            await asyncio.wait([making], timeout=CLOSING_SECONDS)
            if making.done() and not making.cancelled() and making.exception() is None:
                return making.result()
            raise LeaseLost if beating.done() else Stopped
        finally:
            making.cancel()
            beating.cancel()
            leaving.cancel()

    async def _made(self, lease: Lease, progress: Progress) -> Receipt:
        return await (await self._attempt(lease, progress)).run()

    async def _attempt(self, lease: Lease, progress: Progress) -> Attempt:
        found = lease.delivery
        platform = await self._platforms.get(found.tenant, found.platform_id)
        if platform is None:
            raise Unplaceable(GONE.code, GONE.message)
        if not platform.is_active:
            raise Unplaceable(INACTIVE.code, INACTIVE.message)
        place = self._places.of(platform, PlatformPins(platform, self._platforms))
        notes = DeliveryNotes(lease, self._store, self._vault)
        return Attempt(lease, place, self._store, self._blobs, notes, progress)

    async def _beat(self, lease: Lease, progress: Progress) -> None:
        """Renew the lease; returns once it is lost, or could not be renewed for its whole length."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(min(BEAT_SECONDS, self._lease / 3))
            now = time.monotonic()
            try:
                held = await self._store.heartbeat(
                    lease, seconds=self._lease, sent=progress.sent, verifying=progress.verifying
                )
                renewed = now
            except Exception as exc:  # noqa: BLE001  whatever it was, the lease must not be left without a beat
                held = now - renewed < self._lease
                log.warning("beat_failed", action="beat", reason=repr(exc)[:500])
            if not held:
                return

    async def _commit(self, lease: Lease, receipt: Receipt) -> None:
        kind = lease.delivery.platform_type
        with tracing.span("commit"):
            delivered = await self._store.deliver(lease, receipt)
        if not delivered:
            attempts.ended(lease.delivery, "fenced")
            log.warning("commit_fenced", action="deliver")
            return
        attempts.ended(lease.delivery, "delivered")
        tracing.note({"exports.bytes": receipt.size, "exports.was_there": receipt.was_there})
        if not receipt.was_there:
            attempts.BYTES.labels(kind).inc(receipt.size)
            attempts.SECONDS.labels(kind).observe(receipt.seconds)
        log.info(
            "delivered", action="deliver", bytes=receipt.size, seconds=receipt.seconds, was_there=receipt.was_there
        )

    async def _explain(self, lease: Lease, error: ErrorInfo, *, transient: bool) -> None:
        found: Delivery = lease.delivery
        tracing.failed(error.code)
        log.warning("attempt_failed", action="deliver", code=error.code, reason=error.message, transient=transient)
        outcome = await self._retries.conclude(
            self._store, lease, error, attempt=found.attempt, most=found.max_attempts, transient=transient
        )
        attempts.ended(found, outcome)
        if outcome == "fenced":
            log.info("failure_fenced", action="deliver", fence=found.fence)
        elif outcome == "failed":
            attempts.FAILURES.labels(found.platform_type, error.code).inc()
