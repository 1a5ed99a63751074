"""Sessions at an FTP server with short timeouts, deliveries, and their errors."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from services.chassis.networks import parse_networks
from services.delivery.destinations.contract import DestinationError, RemoteFile, Session
from services.delivery.destinations.egress import Egress, Rules, system_lookup
from services.delivery.destinations.ftp.destination import FtpConfig, FtpDestination
from services.delivery.destinations.kit.timeouts import Timeouts
from tests.contract.destinations.payloads import File, MemoryNotes

TIMEOUTS = Timeouts(connect=5.0, silence=5.0, work=10.0)
SHORT = Timeouts(connect=0.25, silence=0.25, work=0.5)
RULES = Rules(allow=parse_networks("127.0.0.0/8"))
LOOPBACK = Egress(RULES)


def session(
    config: dict[str, Any], egress: Egress = LOOPBACK, timeouts: Timeouts = TIMEOUTS
) -> AbstractAsyncContextManager[Session]:
    """A session with this config."""
    return FtpDestination(timeouts).open(FtpConfig.model_validate(config), egress, MemoryNotes())


async def delivered(config: dict[str, Any], file: File, name: str, *, replace: bool = True, **more: Any) -> RemoteFile:
    """One successful attempt."""
    async with session(config, **more) as opened:
        return await opened.send(name, file.payload(), replace=replace)


async def failure(config: dict[str, Any], file: File, name: str = "shop.csv", **more: Any) -> DestinationError:
    """The error of one attempt."""
    with pytest.raises(DestinationError) as caught:
        await delivered(config, file, name, **more)
    return caught.value


class Watched(Egress):
    """An egress that remembers where connections went, and what was looked up."""

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self.went: list[tuple[str, int]] = []
        self.looked_up: list[str] = []
        self._names = names or {}
        super().__init__(RULES, self._look_up)

    async def connect(self, host: str, port: int, timeout: float = 10.0) -> Any:
        self.went.append((host, port))
        return await super().connect(host, port, timeout)

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        return await system_lookup(self._names.get(host, host), port)


def verbs(commands: list[str]) -> list[str]:
    """The commands without their arguments."""
    return [command.split(" ", 1)[0] for command in commands]
