"""Registers destinations as platforms over REST, and waits until every file is delivered to each of them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catalog_exports import CatalogExports, CatalogExportsError
from catalog_exports.client.models import Delivery
from deploy.local.demo.exports import Exported

POLL_EVERY = 0.1
DELIVERY_TIMEOUT = 60.0


class DeliveryFailed(Exception):
    """A file was not delivered; the message is for the user."""


class Destination(Protocol):
    """A server that files are delivered to, and its storage."""

    @property
    def kind(self) -> str:
        """The platform type."""

    def config(self) -> dict[str, Any]:
        """A platform's config for it."""

    def content(self, remote: str) -> bytes | None:
        """The stored file with the name in a receipt, or None."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A registered destination."""

    id: str
    destination: Destination

    @property
    def name(self) -> str:
        """The name shown in messages and tables."""
        return self.destination.kind


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivered file that equals the download; `reported` holds the details given by the destination."""

    file: Exported
    platform: Platform
    remote: str
    size: int
    seconds: float
    sha256: str
    reported: Mapping[str, str]


@contextlib.contextmanager
def registered(client: CatalogExports, destinations: Sequence[Destination]) -> Iterator[list[Platform]]:
    """Tested platforms for the destinations; removed at the end, because a given MongoDB outlives the demo.

    Raises:
        DeliveryFailed: a test failed; the message names the step and the reason.
    """
    platforms: list[Platform] = []
    try:
        for destination in destinations:
            made = client.platforms.create(f"demo {destination.kind}", destination.kind, destination.config())
            platforms.append(Platform(made.id, destination))
            _test(client, platforms[-1])
        yield platforms
    finally:
        for platform in platforms:
            with contextlib.suppress(CatalogExportsError):  # the stack has stopped, which was reported already
                client.platforms.delete(platform.id, force=True)


def _test(client: CatalogExports, platform: Platform) -> None:
    found = client.platforms.test(platform.id)
    if not found.ok:
        last = found.steps[-1]
        raise DeliveryFailed(
            f"the test of platform {platform.name} failed at step {last.step}: {last.message} ({last.code})"
        )


def follow(client: CatalogExports, files: Sequence[Exported], platforms: Sequence[Platform]) -> list[Delivered]:
    """Wait until every file is delivered to every platform, and compare each with the download.

    Raises:
        DeliveryFailed: a file was not delivered or differs.
    """
    deadline = time.monotonic() + DELIVERY_TIMEOUT
    return [_followed(client, file, platform, deadline) for file in files for platform in platforms]


def _followed(client: CatalogExports, file: Exported, platform: Platform, deadline: float) -> Delivered:
    found = _ended(client, file, platform, deadline)
    if found.status != "delivered":
        why = f"{found.error.message} ({found.error.code})" if found.error else found.status
        raise DeliveryFailed(f"{file.export.file} was not delivered to {platform.name}: {why}")
    receipt = found.receipt
    if receipt is None:
        raise DeliveryFailed(f"{file.export.file} was delivered to {platform.name} without a receipt")
    remote = receipt.remote
    matches = (receipt.size, receipt.sha256) == (file.download.size, file.download.sha256)
    if not matches or platform.destination.content(remote) != file.download.path.read_bytes():
        raise DeliveryFailed(f"{file.export.file}: {remote} on {platform.name} differs from the download")
    return Delivered(file, platform, remote, receipt.size, receipt.seconds, file.download.sha256, receipt.reported)


def _ended(client: CatalogExports, file: Exported, platform: Platform, deadline: float) -> Delivery:
    """The delivery once it has ended."""
    job = client.jobs.get(file.job_id)
    while True:
        found = next((one for one in job.deliveries() if one.platform_id == platform.id), None)
        if found is not None and found.status in ("delivered", "failed"):
            return found
        if time.monotonic() > deadline:
            state = "not started" if found is None else f"{found.status}, last error: {found.error}"
            raise DeliveryFailed(
                f"{file.export.file} was not delivered to {platform.name} within {DELIVERY_TIMEOUT:.0f} s: {state}"
            )
        time.sleep(POLL_EVERY)
