"""Rigs: real servers for the suite of destinations, found by file name.

Each module of this folder has the name of a destination type and defines `RIG`, or `RIGS` for several kinds of servers.
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
    """A server on 127.0.0.1 in threads or processes of its own, and an independent view of its files."""

    scale: int
    """How many times larger than usual the files of tests are; more than 1 where parts have a minimum."""

    @property
    def port(self) -> int:
        """Where it listens."""

    def start(self) -> None:
        """Listen on a free port."""

    def stop(self) -> None:
        """Stop, and leave nothing on this machine."""

    def clear(self) -> None:
        """Empty the server and end all faults."""

    def destination(self, seconds: float) -> Destination:
        """The destination, with `seconds` as its limit for silence, and parts of which `scale` MiB are several."""

    def config(self, port: int | None = None) -> dict[str, Any]:
        """A valid config; with `port`, all traffic goes there."""

    def wrong_credentials(self) -> dict[str, Any]:
        """A valid config that the server refuses."""

    def files(self) -> dict[str, bytes]:
        """What a reader of the target sees, read from the server's own storage."""

    def leftovers(self) -> list[str]:
        """Parts and open uploads, read from the server's own storage."""

    def fill(self) -> None:
        """No space for another byte, until `unfill`."""

    def unfill(self) -> None:
        """Space is available again."""


@runtime_checkable
class Faults(Protocol):
    """Faults on the route to a server; caused by a proxy in front, or by the rig itself where no proxy can."""

    cuts: int

    def cut_after(self, count: int) -> None:
        """Reset all connections once, after `count` more bytes were sent."""

    def stall_after(self, count: int) -> None:
        """Send and accept nothing more after `count` bytes, until `heal`."""

    def heal(self) -> None:
        """End all faults."""


@dataclass(frozen=True, slots=True)
class Line:
    """A route to a server: the config that uses it, and its faults."""

    config: dict[str, Any]
    faults: Faults


@contextmanager
def line_to(rig: Rig) -> Iterator[Line]:
    """A route that can be broken."""
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
