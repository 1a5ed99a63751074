"""Tests a platform: resolve, connect, authenticate, write, read back, delete; reports which step failed, and why."""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import structlog

from services.chassis.leasing.leases import INTERNAL_ERROR
from services.delivery.destinations.contract import DestinationError, MemoryNotes, Payload, Session, Step
from services.delivery.destinations.egress import Forbidden, Unresolved
from services.delivery.destinations.kit.blocks import at_most
from services.delivery.destinations.kit.error_rules import egress_error
from services.delivery.platforms.targets import Target

log = structlog.get_logger()

TIMEOUT_SECONDS = 45.0
SIZE = 64


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step; `code` and `message` say why it failed."""

    step: Step
    ok: bool
    seconds: float
    code: str = ""
    message: str = ""


async def probe(target: Target) -> list[StepResult]:
    """Test a platform; returns its steps in order, up to the first that failed."""
    tried = _Probe(target, str(uuid.uuid4()))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS) as limit:
            await tried.run()
    except DestinationError as exc:
        tried.failed(exc.step, exc.code, exc.message)
    except Exception:
        if limit.expired():
            tried.failed(tried.step, "timeout", f"The destination did not answer within {TIMEOUT_SECONDS:.0f} s.")
        else:
            log.exception("probe_crashed", action="test")
            tried.failed(tried.step, INTERNAL_ERROR.code, "The test failed unexpectedly. See the service's log.")
    return tried.results


class _Probe:
    def __init__(self, target: Target, probe_id: str) -> None:
        self._target = target
        self._id = probe_id
        self._started = time.monotonic()
        self.step = Step.RESOLVE
        self.results: list[StepResult] = []

    async def run(self) -> None:
        host, port = self._target.destination.address(self._target.config)
        try:
            await self._target.egress.addresses(host, port)
        except (Unresolved, Forbidden) as exc:
            raise egress_error(exc) from exc
        self._passed(Step.RESOLVE)
        target = self._target
        async with target.destination.open(target.config, target.egress, target.pins) as session:
            self._passed(Step.CONNECT)
            self._passed(Step.AUTHENTICATE)
            await self._round_trip(session)

    async def _round_trip(self, session: Session) -> None:
        data = os.urandom(SIZE).hex().encode()
        payload = _payload(self._id, data)
        name = f".catalog-exports-probe-{self._id}.txt"
        try:
            await session.send(name, payload, replace=True)
            self._passed(Step.WRITE)
            await self._read_back(session, name, data)
            self._passed(Step.READ)
        except DestinationError:
            with suppress(DestinationError):
                await session.tidy(name, payload)
                await session.remove(name)
            raise
        await session.remove(name)
        self._passed(Step.DELETE)

    async def _read_back(self, session: Session, name: str, data: bytes) -> None:
        found = b"".join([chunk async for chunk in at_most(session.read(name), len(data))])
        if found != data:
            text = "The file that was read back differs from the one that was written; the destination changes files."
            raise DestinationError(Step.READ, "content_changed", text, transient=False)

    def _passed(self, step: Step) -> None:
        self.results.append(StepResult(step, ok=True, seconds=self._lap()))
        following = list(Step)[list(Step).index(step) + 1 :]
        self.step = following[0] if following else step

    def failed(self, step: Step, code: str, message: str) -> None:
        """Report this step as failed and all earlier steps as passed."""
        passed = {result.step: result for result in self.results}
        earlier = list(Step)[: list(Step).index(step)]
        self.results = [passed.get(one) or StepResult(one, ok=True, seconds=0.0) for one in earlier]
        self.results.append(StepResult(step, ok=False, seconds=self._lap(), code=code, message=message))

    def _lap(self) -> float:
        now = time.monotonic()
        seconds, self._started = now - self._started, now
        return seconds


def _payload(probe_id: str, data: bytes) -> Payload:
    async def read(offset: int) -> AsyncIterator[bytes]:
        yield data[offset:]

    return Payload(
        delivery_id=probe_id,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        media_type="text/plain",
        read=read,
        progress=lambda _: None,
        verifying=lambda: None,
        notes=MemoryNotes(),
    )
