"""The destinations: every module of this folder that defines `DESTINATION` or `DESTINATIONS` brings its types."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from services.delivery.destinations.contract import Destination


@cache
def destinations() -> Mapping[str, Destination]:
    """All types of destinations by name."""
    found = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    made = [one for module in found for one in _of(module)]
    return {one.name: one for one in sorted(made, key=lambda one: one.name)}


def _of(module: object) -> list[Destination]:
    return [*getattr(module, "DESTINATIONS", ()), *([module.DESTINATION] if hasattr(module, "DESTINATION") else [])]
