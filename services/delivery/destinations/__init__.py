"""The destinations: each sub-package with a `destination` module that defines `DESTINATION` or `DESTINATIONS`."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from functools import cache

from services.delivery.destinations.contract import Destination


@cache
def destinations() -> Mapping[str, Destination]:
    """All destination types by name."""
    packages = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__) if module.ispkg]
    names = [f"{name}.destination" for name in packages if importlib.util.find_spec(f"{name}.destination")]
    made = [one for name in names for one in _of(importlib.import_module(name))]
    return {one.name: one for one in sorted(made, key=lambda one: one.name)}


def _of(module: object) -> list[Destination]:
    return [*getattr(module, "DESTINATIONS", ()), *([module.DESTINATION] if hasattr(module, "DESTINATION") else [])]
