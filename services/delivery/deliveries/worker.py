"""Claims deliveries that are due and makes them under a lease."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog

from services.chassis import loops
from services.chassis.blobs.contract import BlobStore
from services.chassis.faults import Unavailable
from services.chassis.leasing.due_work import DueWork
from services.chassis.leasing.leased_work import LeasedWork
from services.chassis.leasing.leases import ATTEMPTS_EXHAUSTED, LeaseLost, Outcome
from services.chassis.telemetry.tracing import Attribute
from services.delivery.deliveries.attempt import Attempt
from services.delivery.deliveries.attempt_state import DeliveryNotes
from services.delivery.deliveries.delivery import (
    ENDED,
    PLATFORM_DELETED,
    PLATFORM_INACTIVE,
    Delivery,
    Progress,
    Receipt,
)
from services.delivery.deliveries.outcomes import BYTES, METRICS, SECONDS, claim_of
from services.delivery.deliveries.store import DeliveryStore, Lease
from services.delivery.destinations.contract import DestinationError
from services.delivery.platforms.kept_sessions import KeptSessions
from services.delivery.platforms.secrets import Vault
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import TargetResolver, UnusablePlatform

log = structlog.get_logger()

POLL_SECONDS, POLL_IDLE = 0.5, 2.0
"""Between two queries for due deliveries, unless the worker is woken; rarer while there are none."""
HEARTBEAT_SECONDS = 1.0
TIDY_LEASES = 3
"""How long an attempt that lost its lease waits for the end of the delivery."""
TIDY_SECONDS = 60.0


class Worker:
    """Makes up to `slots` deliveries at a time, of these `platform_slots` to one platform, the tenants in turn.

    One more slot is for tenants that have no delivery running here.

    Args:
        lease: seconds a delivery stays claimed after its last heartbeat.
        first_retry, max_retry: seconds before the second attempt, doubling, and at most.
    """

    def __init__(
        self,
        store: DeliveryStore,
        platforms: PlatformStore,
        targets: TargetResolver,
        sessions: KeptSessions,
        blobs: BlobStore,
        vault: Vault,
        *,
        owner: str,
        slots: int,
        platform_slots: int,
        lease: float,
        first_retry: float,
        max_retry: float,
    ) -> None:
        self._store = store
        self._due = DueWork[Lease](
            store.waiting_tenants,
            lambda tenant, busy: store.claim(tenant, owner, lease, busy=busy),
            lambda claimed: claimed.delivery.platform_id,
            self._start,
            slots=slots,
            receiver_slots=platform_slots,
            poll=POLL_SECONDS,
            idle=POLL_IDLE,
        )
        self._platforms = platforms
        self._targets = targets
        self._sessions = sessions
        self._blobs = blobs
        self._vault = vault
        self.ended = asyncio.Event()
        """Set when a delivery has ended in this process, so that its event is recorded without delay."""
        self._lease = lease
        self._leased = LeasedWork[Lease, Progress, Receipt](
            store,
            METRICS,
            lease=lease,
            heartbeat=HEARTBEAT_SECONDS,
            first_retry=first_retry,
            max_retry=max_retry,
        )

    def wake(self) -> None:
        """Query for due deliveries now."""
        self._due.wake()

    async def run(self) -> None:
        """Claim and deliver until cancelled; then give everything back, so that another process can claim it."""
        self._leased.reopen()
        try:
            while True:
                loops.raise_if_cancelled()
                filling = self._leased.track(asyncio.create_task(self._fill()))
                try:
                    await asyncio.shield(filling)
                except Unavailable as exc:
                    log.warning("claim_failed", action="claim", reason=exc.message)
                await self._due.pause()
        finally:
            await self._leased.shut_down()

    async def _fill(self) -> None:
        """Claim while there are free slots and due deliveries."""
        while (given_up := await self._store.give_up_one(ATTEMPTS_EXHAUSTED)) is not None:
            with structlog.contextvars.bound_contextvars(delivery_id=given_up.id, tenant=given_up.tenant):
                self._leased.gave_up(given_up.platform_type)
        while not self._leased.is_shutting_down and await self._due.start_one():
            pass

    def _start(self, lease: Lease) -> asyncio.Task[None]:
        task = self._leased.start(self._handle(lease))
        task.add_done_callback(lambda _: self.ended.set())
        return task

    async def _handle(self, lease: Lease) -> None:
        delivery = lease.delivery
        structlog.contextvars.bind_contextvars(
            delivery_id=delivery.id,
            job_id=delivery.job_id,
            tenant=delivery.tenant,
            platform_id=delivery.platform_id,
        )
        delivering = _Delivering(self, lease)
        if await self._leased.run(claim_of(lease), delivering) is Outcome.FENCED and delivering.made is not None:
            self._leased.start(self._tidy_late(delivery, delivering.made))

    async def _tidy_late(self, delivery: Delivery, attempt: Attempt) -> None:
        """Remove what a slow attempt wrote after a faster one had delivered the file and removed its own parts.

        While the delivery is live, its next attempt uses or removes them, so nothing may be touched.
        """
        deadline = time.monotonic() + TIDY_LEASES * self._lease
        while time.monotonic() < deadline and not self._leased.is_shutting_down:
            found = await self._store.get(delivery.tenant, delivery.id)
            if found is None or found.state in ENDED:
                with suppress(DestinationError, LeaseLost, TimeoutError):
                    async with asyncio.timeout(TIDY_SECONDS):
                        await attempt.tidy()
                return
            await asyncio.sleep(POLL_SECONDS)

    async def attempt(self, lease: Lease, progress: Progress) -> Attempt:
        """An attempt at the delivery, with its platform as it is configured now.

        Raises:
            UnusablePlatform: it was deleted, is inactive, or cannot be used as it is stored.
        """
        delivery = lease.delivery
        platform = await self._platforms.get(delivery.tenant, delivery.platform_id)
        if platform is None:
            raise UnusablePlatform(PLATFORM_DELETED.code, PLATFORM_DELETED.message)
        if not platform.is_active:
            raise UnusablePlatform(PLATFORM_INACTIVE.code, PLATFORM_INACTIVE.message)
        notes = DeliveryNotes(lease, self._store, self._vault)
        target = self._targets.resolve(platform)
        return Attempt(lease, target, self._sessions, self._store, self._blobs, notes, progress)


class _Delivering:
    """One attempt as leased work."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        self.progress = Progress()
        self.made: Attempt | None = None
        self._worker = worker
        self._lease = lease

    async def run(self) -> Receipt:
        self.made = await self._worker.attempt(self._lease, self.progress)
        return await self.made.run()

    def completed(self, receipt: Receipt, _: float) -> Mapping[str, Attribute]:
        kind = self._lease.delivery.platform_type
        if not receipt.was_there:
            BYTES.labels(kind).inc(receipt.size)
            SECONDS.labels(kind).observe(receipt.seconds)
        return {"bytes": receipt.size, "was_there": receipt.was_there}

    async def discard(self, receipt: Receipt) -> None:
        """Leave the file at the destination: the process that holds the lease has sent it to the same name."""
