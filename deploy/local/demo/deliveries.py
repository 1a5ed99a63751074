"""Registers destinations as platforms over REST, and follows every file until it lies at each of them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deploy.local.demo.exports import Exported
from deploy.local.demo.rest import ExportFailed, Rest

POLL_EVERY = 0.1
WITHIN = 60.0


class DeliveryFailed(Exception):
    """A file did not get to a destination; the message is for the user."""


class Destination(Protocol):
    """A server files are delivered to, and a look into its storage."""

    @property
    def kind(self) -> str:
        """The word in `platform_type`."""

    def config(self) -> dict[str, Any]:
        """A platform's config for it."""

    def content(self, remote: str) -> bytes | None:
        """What its storage holds under the name a receipt gives; None when there is nothing."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A destination that is registered."""

    id: str
    destination: Destination

    @property
    def name(self) -> str:
        """How it is called in sentences and tables."""
        return self.destination.kind


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file at a destination, compared with the download; `reported` is what the destination itself says of it."""

    file: Exported
    platform: Platform
    remote: str
    size: int
    seconds: float
    sha256: str
    reported: Mapping[str, str]


@contextlib.contextmanager
def registered(rest: Rest, destinations: Sequence[Destination]) -> Iterator[list[Platform]]:
    """Platforms for the destinations, each tested; removed at the end, because a given MongoDB outlives the demo.

    Raises:
        DeliveryFailed: a test failed; says at which step, and why.
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
            with contextlib.suppress(ExportFailed):  # the stack is gone, which has been told already
                rest.call("DELETE", f"/exports/platforms/{platform.id}?force=true")


def _test(rest: Rest, platform: Platform) -> None:
    found = rest.call("POST", f"/exports/platforms/{platform.id}/test")
    if not found["ok"]:
        last = found["steps"][-1]
        raise DeliveryFailed(
            f"the test of platform {platform.name} failed at step {last['step']}: {last['message']} ({last['code']})"
        )


def follow(rest: Rest, files: Sequence[Exported], platforms: Sequence[Platform]) -> list[Delivered]:
    """Wait until every file is delivered to every platform, and compare what lies there with what was downloaded.

    Raises:
        DeliveryFailed: one was not delivered, or is not the same.
    """
    deadline = time.monotonic() + WITHIN
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
    told = (size, sha256) == (file.download.size, file.download.sha256)
    if not told or platform.destination.content(remote) != file.download.path.read_bytes():
        raise DeliveryFailed(f"{file.export.file}: what lies at {platform.name} as {remote} is not what was downloaded")
    return Delivered(file, platform, remote, size, receipt["seconds"], sha256, receipt["reported"])


def _ended(rest: Rest, file: Exported, platform: Platform, deadline: float) -> Any:
    """The delivery once it has ended."""
    while True:
        page = rest.call("GET", f"/exports/jobs/{file.job_id}/deliveries")
        found = next((item for item in page["items"] if item["platform_id"] == platform.id), None)
        if found is not None and found["status"] in ("delivered", "failed"):
            return found
        if time.monotonic() > deadline:
            state = "nobody has begun" if found is None else f"{found['status']}, last error: {found.get('error')}"
            raise DeliveryFailed(
                f"{file.export.file} is not delivered to {platform.name} after {WITHIN:.0f} s: {state}"
            )
        time.sleep(POLL_EVERY)
