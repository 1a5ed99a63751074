"""Rigs: real servers for the suite of destinations, found by file name.

Each module of this folder has the name of a type of destination and defines `RIG`, or `RIGS` where one type meets
several kinds of servers.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from services.delivery.destinations.contract import Destination
from tests.tcp_proxy import TcpProxy


class Rig(Protocol):
    """A server on 127.0.0.1 in threads or processes of its own, and an independent view of what is in it."""

    @property
    def port(self) -> int:
        """Where it listens."""

    def start(self) -> None:
        """Listen on a free port."""

    def stop(self) -> None:
        """End, and leave nothing on this machine."""

    def clear(self) -> None:
        """Back to an empty, friendly server."""

    def destination(self, seconds: float) -> Destination:
        """The type as its owner would register it, but silence is a fault after so many seconds, and what is sent in
        parts is sent in small ones, so that a few megabytes are many parts.
        """

    def config(self, port: int | None = None) -> dict[str, Any]:
        """A valid config; with `port`, all traffic goes there."""

    def wrong_credentials(self) -> dict[str, Any]:
        """A valid config that the server does not let in."""

    def files(self) -> dict[str, bytes]:
        """What a reader of the place sees, read from the server's own storage."""

    def leftovers(self) -> list[str]:
        """Parts and open uploads, read from the server's own storage."""

    def fill(self) -> None:
        """No room for another byte, until `unfill`."""

    def unfill(self) -> None:
        """Room again."""


@runtime_checkable
class Faults(Protocol):
    """What can happen to the way to a server; a proxy in front does it, or the rig itself where no proxy can."""

    cuts: int

    def cut_after(self, count: int) -> None:
        """Reset all connections once, when so many more bytes were sent."""

    def stall_after(self, count: int) -> None:
        """Say and take nothing more after so many bytes, until `heal`."""

    def heal(self) -> None:
        """Forget all faults."""


@dataclass(frozen=True, slots=True)
class Line:
    """A way to a server: the config that takes it, and what can happen to it."""

    config: dict[str, Any]
    faults: Faults


@contextmanager
def line_to(rig: Rig) -> Iterator[Line]:
    """A way that can be broken."""
    if isinstance(rig, Faults):
        yield Line(rig.config(), rig)
        rig.heal()
        return
    with TcpProxy("127.0.0.1", rig.port) as proxy:
        yield Line(rig.config(proxy.port), proxy)


def rigs() -> dict[str, list[Rig]]:
    """All rigs by type."""
    modules = {module.name: importlib.import_module(f"{__name__}.{module.name}") for module in _modules()}
    return {name: getattr(module, "RIGS", None) or [module.RIG] for name, module in modules.items()}


def _modules() -> list[pkgutil.ModuleInfo]:
    return [module for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
