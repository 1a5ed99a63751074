"""The file formats: every module in this folder that defines `FORMAT` is one; no registration is needed."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from services.exporter.formats.contract import Format


@cache
def formats() -> Mapping[str, Format]:
    """All formats by name."""
    found = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    made = [module.FORMAT for module in found if hasattr(module, "FORMAT")]
    return {form.name: form for form in sorted(made, key=lambda form: form.name)}
