"""Registers destinations as platforms over REST, and waits until every file is delivered to each of them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deploy.local.demo.exports import Exported
from deploy.local.demo.rest import ExportFailed, Rest

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
def registered(rest: Rest, destinations: Sequence[Destination]) -> Iterator[list[Platform]]:
    """Tested platforms for the destinations; removed at the end, because a given MongoDB outlives the demo.

    Raises:
        DeliveryFailed: a test failed; the message names the step and the reason.
    """
    platforms: list[Platform] = []
    try:
        for destination in destinations:
            body = {"name": f"demo {destination.kind}", "platform_type": destination.kind}
            made = rest.call("POST", "/exports/platforms", {**body, "config": destination.config()})
            platforms.append(Platform(made["id"], destination))
            _test(rest, platforms[-1])
        yield platforms
    finally:
        for platform in platforms:
            with contextlib.suppress(ExportFailed):  # the stack has stopped, which was reported already
                rest.call("DELETE", f"/exports/platforms/{platform.id}?force=true")


def _test(rest: Rest, platform: Platform) -> None:
    found = rest.call("POST", f"/exports/platforms/{platform.id}/test")
    if not found["ok"]:
        last = found["steps"][-1]
        raise DeliveryFailed(
            f"the test of platform {platform.name} failed at step {last['step']}: {last['message']} ({last['code']})"
        )


def follow(rest: Rest, files: Sequence[Exported], platforms: Sequence[Platform]) -> list[Delivered]:
    """Wait until every file is delivered to every platform, and compare each with the download.

    Raises:
        DeliveryFailed: a file was not delivered or differs.
    """
    deadline = time.monotonic() + DELIVERY_TIMEOUT
    return [_followed(rest, file, platform, deadline) for file in files for platform in platforms]


def _followed(rest: Rest, file: Exported, platform: Platform, deadline: float) -> Delivered:
    found = _ended(rest, file, platform, deadline)
    if found["status"] != "delivered":
        error = found["error"]
        raise DeliveryFailed(
            f"{file.export.file} was not delivered to {platform.name}: {error['message']} ({error['code']})"
        )
    receipt = found["receipt"]
    remote, size, sha256 = receipt["remote"], receipt["size"], receipt["sha256"]
    matches = (size, sha256) == (file.download.size, file.download.sha256)
    if not matches or platform.destination.content(remote) != file.download.path.read_bytes():
        raise DeliveryFailed(f"{file.export.file}: {remote} on {platform.name} differs from the download")
    return Delivered(file, platform, remote, size, receipt["seconds"], sha256, receipt["reported"])


def _ended(rest: Rest, file: Exported, platform: Platform, deadline: float) -> Any:
    """The delivery once it has ended."""
    while True:
        page = rest.call("GET", f"/exports/jobs/{file.job_id}/deliveries")
        found = next((item for item in page["items"] if item["platform_id"] == platform.id), None)
        if found is not None and found["status"] in ("delivered", "failed"):
            return found
        if time.monotonic() > deadline:
            state = "not started" if found is None else f"{found['status']}, last error: {found.get('error')}"
            raise DeliveryFailed(
                f"{file.export.file} was not delivered to {platform.name} within {DELIVERY_TIMEOUT:.0f} s: {state}"
            )
        time.sleep(POLL_EVERY)
