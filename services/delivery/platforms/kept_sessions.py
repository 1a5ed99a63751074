"""Sessions that stay open for a few seconds after a delivery, for the next delivery to the same platform.

A login costs more than sending a small file. A session is used by one delivery at a time. It is closed after an error,
when its platform has changed, and when it has been open for a minute, so that addresses are checked again.
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from services.delivery.destinations.contract import DestinationError, Session
from services.delivery.platforms.targets import Target

log = structlog.get_logger()

IDLE_SECONDS = 5.0
"""A session without a delivery is closed after this time."""
MAX_AGE = 60.0
MAX_IDLE = 32
"""Idle sessions in a process; the one that has been idle longest is closed first."""
OPENED = Counter("delivery_sessions_opened_total", "Connections to platforms that deliveries have opened.", ["type"])


@dataclass(slots=True)
class _Kept:
    """An open session, and what closes it."""

    target: Target
    session: Session
    closing: AsyncExitStack
    opened_at: float
    idle_since: float = 0.0


class KeptSessions:
    """The idle sessions of this process."""

    def __init__(self) -> None:
        self._idle: list[_Kept] = []

    @asynccontextmanager
    async def session(self, target: Target) -> AsyncIterator[Session]:
        """A session at the target, kept or new.

        Raises:
            DestinationError: no connection, or whatever the block raises.
        """
        kept = await self._taken(target) or await self._opened(target)
        async with AsyncExitStack() as stack:
            stack.push_async_exit(kept.closing)
            yield kept.session
            stack.pop_all()  # no error: it stays open
        await self._keep(kept)

    async def close(self, platform_id: str) -> None:
        """Close what is idle at a platform, for example because its server allows only one connection."""
        await self._close_all([kept for kept in self._idle if kept.target.platform_id == platform_id])

    async def close_old(self) -> None:
        """Close what has been idle or open for too long."""
        now = time.monotonic()
        await self._close_all([kept for kept in self._idle if now - kept.idle_since > IDLE_SECONDS or _is_old(kept)])

    async def close_all(self) -> None:
        """Close everything that is idle."""
        await self._close_all(list(self._idle))

    async def _taken(self, target: Target) -> _Kept | None:
        """An idle session at exactly this version of the platform, if one is still alive."""
        others = [kept for kept in self._idle if kept.target.platform_id == target.platform_id]
        usable = [kept for kept in others if kept.target.version == target.version and not _is_old(kept)]
        await self._close_all(kept for kept in others if kept not in usable)
        while usable:
            kept = usable.pop()
            if kept not in self._idle:  # taken or closed meanwhile
                continue
            self._idle.remove(kept)
            if await kept.session.is_alive():
                return kept
            await _close(kept)
        return None

    async def _opened(self, target: Target) -> _Kept:
        closing = AsyncExitStack()
        opening = target.destination.open(target.config, target.egress, target.pins)
        session = await closing.enter_async_context(opening)
        OPENED.labels(target.destination.name).inc()
        return _Kept(target, session, closing, time.monotonic())

    async def _keep(self, kept: _Kept) -> None:
        kept.idle_since = time.monotonic()
        self._idle.append(kept)
        await self._close_all(self._idle[:-MAX_IDLE])

    async def _close_all(self, closed: Iterable[_Kept]) -> None:
        for kept in list(closed):
            if kept in self._idle:
                self._idle.remove(kept)
                await _close(kept)


def _is_old(kept: _Kept) -> bool:
    return time.monotonic() - kept.opened_at > MAX_AGE


async def _close(kept: _Kept) -> None:
    try:
        with suppress(DestinationError):
            await kept.closing.aclose()
    except Exception as exc:  # noqa: BLE001  a server that misbehaves at the end does no harm
        log.warning("close_failed", action="deliver", reason=repr(exc)[:500])
