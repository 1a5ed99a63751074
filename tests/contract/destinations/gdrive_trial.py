"""Attempts at a Google Drive rig, and their errors."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from services.chassis.networks import parse_networks
from services.delivery.destinations.contract import DestinationError, RemoteFile
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.destinations.gdrive.destination import DriveConfig
from services.delivery.destinations.gdrive.session import NOTE, DriveSession
from services.delivery.destinations.gdrive.upload import GRAIN
from tests.contract.destinations.gdrive_store import Refusal
from tests.contract.destinations.payloads import File, MemoryNotes, some
from tests.contract.destinations.rigs.gdrive import DriveRig

LOOPBACK = Egress(Rules(allow=parse_networks("127.0.0.0/8")))
NAME = "shop.csv"
DATA, OTHER = some(700_000, seed=4), some(900_000, seed=5)
BUSY = Refusal(403, "userRateLimitExceeded", "User Rate Limit Exceeded.", "usageLimits")


def session(
    rig: DriveRig, egress: Egress = LOOPBACK, part: int = GRAIN, **change: Any
) -> AbstractAsyncContextManager[DriveSession]:
    """A session with the rig's config, changed."""
    config = DriveConfig.model_validate({**rig.config(), **change})
    return rig.destination(5.0, part).open(config, egress, MemoryNotes())


async def delivered(rig: DriveRig, file: File, name: str = NAME, *, replace: bool = True, **change: Any) -> RemoteFile:
    """One successful attempt."""
    async with session(rig, **change) as opened:
        return await opened.send(name, file.payload(), replace=replace)


async def failure(rig: DriveRig, file: File, *, replace: bool = True, **change: Any) -> DestinationError:
    """The error of one attempt."""
    with pytest.raises(DestinationError) as caught:
        await delivered(rig, file, replace=replace, **change)
    return caught.value


def noted(file: File) -> dict[str, Any]:
    """What the delivery keeps about its upload."""
    found: dict[str, Any] = json.loads(file.notes.kept[NOTE])
    return found
